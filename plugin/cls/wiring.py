"""All that is particular to mmpretrain: where its configs repeat channel counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plugin.libraries import LayerDecay, Wiring
from plugin.spec import CHANNELS, SampleSpec, Slot, as_list, numbers, part_key


class MMPretrain(Wiring):
    """mmpretrain 1.2.0."""

    classifies = True
    own_pretrained = True
    preprocessor = 'ClsDataPreprocessor'
    renamed = dict.fromkeys(
        ('Collect', 'DefaultFormatBundle', 'PackClsInputs', 'PackSelfSupInputs'),
        'PackInputs',
    )
    layer_decay = {
        'LearningRateDecayOptimWrapperConstructor': LayerDecay('layer_decay_rate')
    }
    indexed_prefix = 'backbone.'

    def slots(self, model: Mapping[str, Any]) -> list[Slot]:
        return slots(model)

    def samples(self, cfg: Mapping[str, Any], spec: SampleSpec) -> list[dict]:
        # It imports the library's structures, which the places above do without.
        from plugin.cls.samples import samples

        return samples(cfg, spec)


WIRING = MMPretrain()


def slots(model: Mapping[str, Any]) -> list[Slot]:
    """See :meth:`plugin.libraries.Wiring.slots`.

    A classifier's head takes the last map, which most necks only pool. A neck that
    takes channels itself gives others, and the head is none of ours then.
    """
    neck = model.get('neck')
    for i, part in enumerate(as_list(neck)):
        if 'in_channels' in part:
            key = f'{part_key("model.neck", neck, i)}.in_channels'
            return [_slot(key, part['in_channels'])]
    head = model.get('head') or {}
    if 'in_channels' not in head:
        return []
    return [_slot('model.head.in_channels', head['in_channels'])]


def _slot(key: str, written: int | Sequence[int]) -> Slot:
    maps = (-1,) if isinstance(written, int) else None
    return Slot(key, CHANNELS, written, numbers(written), maps)
