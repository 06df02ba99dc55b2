"""All that is particular to mmsegmentation: where its configs repeat channel counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plugin.libraries import LayerDecay, Wiring
from plugin.necks.simple_feature_pyramid import SCALES
from plugin.spec import (
    CHANNELS,
    Change,
    FeatureSpec,
    SampleSpec,
    Slot,
    as_list,
    numbers,
    part_key,
    type_name,
)

_FAMILIES = dict(
    ConvNeXt=('downsample_layers.', 'stages.'), BEiT=('layers.',), MAE=('layers.',)
)
# mmseg's neck that makes a pyramid of maps of one stride, all of `embed_dim` channels.
RESCALING = 'Feature2Pyramid'


class MMSeg(Wiring):
    """mmseg 1.2.2."""

    preprocessor = 'SegDataPreProcessor'
    renamed = dict.fromkeys(('Collect', 'DefaultFormatBundle'), 'PackSegInputs')
    layer_decay = {
        'LearningRateDecayOptimizerConstructor': LayerDecay(
            'decay_rate', _FAMILIES, by_stage=('ConvNeXt',)
        ),
        'LayerDecayOptimizerConstructor': LayerDecay(
            'layer_decay_rate', _FAMILIES, by_stage=('ConvNeXt',)
        ),
    }

    def slots(self, model: Mapping[str, Any]) -> list[Slot]:
        return slots(model)

    def samples(self, cfg: Mapping[str, Any], spec: SampleSpec) -> list[dict]:
        # It imports the library's structures, which the places above do without.
        from plugin.seg.samples import samples

        return samples(cfg, spec)

    def pyramid(
        self, model: Mapping[str, Any], maps: FeatureSpec, strides: Sequence[int]
    ) -> list[Change] | None:
        """Return mmseg's Feature2Pyramid, which takes four maps, and what follows."""
        channels = maps.channels
        if model.get('neck') or len(channels) != 4 or len(set(channels)) > 1:
            return None
        # A stride of 14 is no power of two, and segmentation heads resize what they
        # get.
        scales = [16 / s if 16 % s else 16 // s for s in strides]
        if set(scales) != set(SCALES) or maps.strides[0] > 16:
            return None
        found: dict[str, Any] = dict(
            type=RESCALING, embed_dim=channels[0], rescales=scales
        )
        # Its own default is SyncBN, which is the default of most models too.
        norm = next(iter(as_list(model.get('decode_head'))), {}).get('norm_cfg')
        if norm and norm.get('type') != 'SyncBN':
            found['norm_cfg'] = {k: v for k, v in norm.items() if k != '_scope_'}
        return [
            Change('model.neck', found),
            *(
                Change(
                    slot.key,
                    channels[0]
                    if isinstance(slot.written, int)
                    else [channels[0]] * len(slot.written),
                )
                for slot in slots(model)
            ),
        ]


WIRING = MMSeg()


def slots(model: Mapping[str, Any]) -> list[Slot]:
    """See :meth:`plugin.libraries.Wiring.slots`.

    ``in_index`` of a head says which maps its ``in_channels`` are about. Behind a neck
    they are the neck's maps.
    """
    neck = model.get('neck') or {}
    found = []
    if 'in_channels' in neck:
        written = neck['in_channels']
        key = 'model.neck.in_channels'
        found.append(Slot(key, CHANNELS, written, numbers(written)))
    elif type_name(neck) == RESCALING and 'embed_dim' in neck:
        written = neck['embed_dim']
        maps = len(neck.get('rescales', SCALES))
        found.append(Slot('model.neck.embed_dim', CHANNELS, written, (written,) * maps))
    for name in ('decode_head', 'auxiliary_head'):
        cfg = model.get(name)
        for i, head in enumerate(as_list(cfg)):
            found += _head(part_key(f'model.{name}', cfg, i), head, neck)
    return found


def _head(key: str, head: Mapping[str, Any], neck: Mapping[str, Any]) -> Iterator[Slot]:
    written = head.get('in_channels')
    if written is None:
        return
    if 'in_index' in head:
        maps = numbers(head['in_index'])
    else:
        # BaseDecodeHead's own default is the last map.
        maps = (-1,) if isinstance(written, int) else None
    fixed, given = None, None
    if neck:
        outs = neck.get('out_channels')
        if type_name(neck) == RESCALING:
            outs = neck.get('embed_dim')
        if outs is None:
            return
        given = _given(neck)
        count = len(numbers(written)) if maps is None else len(maps)
        if isinstance(outs, int):
            fixed = (outs,) * count
        else:
            fixed = tuple(outs[m] for m in maps or range(len(outs)) if m < len(outs))
    yield Slot(
        f'{key}.in_channels',
        CHANNELS,
        written,
        numbers(written),
        maps,
        fixed=fixed,
        given=given,
    )
    # DeepLabV3+ reads the first map as well; 0 turns that off.
    first = head.get('c1_in_channels')
    if first and not neck:
        yield Slot(f'{key}.c1_in_channels', CHANNELS, first, (first,), (0,))


def _given(neck: Mapping[str, Any]) -> int | None:
    """Return how many maps a neck gives, if it says so."""
    if type_name(neck) == RESCALING:
        return len(neck.get('rescales', SCALES))
    if type_name(neck) == 'SimpleFeaturePyramid':
        return len(neck.get('scales', (4, 2, 1, 0.5))) + neck.get('extra_maps', 0)
    outs = neck.get('out_channels')
    return neck.get('num_outs') or (None if isinstance(outs, int) else len(outs))
