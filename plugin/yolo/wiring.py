"""All that is particular to mmyolo: where its configs repeat channels and strides.

Its necks and heads multiply what is written by ``widen_factor``, and some of them round
the product up to a multiple of 8.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plugin.libraries import Wiring
from plugin.spec import (
    CHANNELS,
    STRIDES,
    Change,
    SampleSpec,
    Slot,
    entry,
    numbers,
    type_name,
)

# The classes of mmyolo 0.6.0 that call its make_divisible; the others truncate.
TO_EIGHTS = {
    'YOLOv5PAFPN',
    'YOLOv8PAFPN',
    'YOLOv5HeadModule',
    'YOLOv5InsHeadModule',
    'YOLOv7HeadModule',
    'YOLOv7p6HeadModule',
    'YOLOv8HeadModule',
}
# A neck that passes on as many channels as it takes, whatever its out_channels say.
SAME_CHANNELS = {'YOLOv5PAFPN'}
# Necks that work only where their out_channels are what they take; the finest map of
# YOLOv8PAFPN may have others.
PASS_ON = {*SAME_CHANNELS, 'YOLOv8PAFPN'}
# A neck that passes on more channels than its out_channels say.
OTHER_CHANNELS = {'YOLOv7PAFPN'}


class MMYOLO(Wiring):
    """mmyolo 0.6.0."""

    renamed = dict.fromkeys(('Collect', 'DefaultFormatBundle'), 'mmdet.PackDetInputs')
    named_groups = {
        'YOLOv5OptimizerConstructor': (),
        'YOLOv7OptimWrapperConstructor': ('ImplicitA', 'ImplicitM'),
    }
    bias_hooks = ('YOLOv5ParamSchedulerHook',)

    def slots(self, model: Mapping[str, Any]) -> list[Slot]:
        return slots(model)

    def samples(self, cfg: Mapping[str, Any], spec: SampleSpec) -> list[dict]:
        # It imports the library's structures, which the places above do without.
        from plugin.yolo.samples import samples

        return samples(cfg, spec)

    def widened(
        self, part: Mapping[str, Any], written: int | Sequence[int]
    ) -> tuple[int, ...]:
        return widened(part, written)

    def channel_changes(
        self,
        model: Mapping[str, Any],
        slot: Slot,
        expected: Sequence[int],
        keep_factor: bool = False,
    ) -> Iterator[Change]:
        """Yield numbers with ``widen_factor=1.0``, or those that it multiplies."""
        holder, _, name = slot.key.rpartition('.')
        part = entry(model, holder)
        factor = part.get('widen_factor', 1.0)
        written = written_for(part, expected)
        # Numbers that fit by rounding alone are none to read or to copy.
        exact = written and [n * factor for n in written] == list(expected)
        plain = written_for({**part, 'widen_factor': 1.0}, expected) is not None
        if keep_factor and (exact or not plain):
            if written is not None:
                yield from super().channel_changes(model, slot, written)
            return
        why = ''
        if factor != 1:
            why = (
                'widen_factor multiplies the channels that neck and head are given, so '
                'it must be 1.'
            )
            yield Change(f'{holder}.widen_factor', 1.0)
        passes_on = name == 'in_channels' and type_name(part) in PASS_ON
        for other in ('in_channels', 'out_channels', 'feat_channels', 'proto_channels'):
            value = part.get(other)
            if value is None:
                continue
            right: Any = list(widened(part, value))
            if other == name or (passes_on and other == 'out_channels'):
                right = list(expected)
            elif factor == 1:
                continue
            elif other == 'feat_channels':
                # Heads truncate it.
                right = [int(v * factor) for v in numbers(value)]
            right = right[0] if isinstance(value, int) else right
            yield Change(f'{holder}.{other}', right, why if other == name else '')

    def takes_as_many(self, neck: Mapping[str, Any]) -> bool:
        return True


WIRING = MMYOLO()


def slots(model: Mapping[str, Any]) -> list[Slot]:
    """See :meth:`plugin.libraries.Wiring.slots`."""
    neck = model.get('neck') or {}
    head = model.get('bbox_head') or {}
    module = head.get('head_module') or {}
    module_key = 'model.bbox_head.head_module'
    found = list(_channels('model.neck', neck, 'in_channels'))
    if type_name(neck) in SAME_CHANNELS:
        found += _channels('model.neck', neck, 'out_channels')
        found += _channels(module_key, module, 'in_channels')
    elif 'out_channels' in neck and type_name(neck) not in OTHER_CHANNELS:
        fixed = widened(neck, neck['out_channels'])
        written = module.get('in_channels')
        # Of an int and a list the one does not say how many the other has.
        if written is not None and isinstance(written, int) == (len(fixed) == 1):
            found += _channels(module_key, module, 'in_channels', fixed)
    maps = _maps_after(neck)
    for key, cfg, name in (
        (module_key, module, 'featmap_strides'),
        ('model.bbox_head.prior_generator', head.get('prior_generator'), 'strides'),
    ):
        if cfg and name in cfg:
            written = cfg[name]
            found.append(
                Slot(f'{key}.{name}', STRIDES, written, numbers(written), maps)
            )
    return found


def _maps_after(neck: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Return the maps whose strides the outputs have: the coarsest, one an output."""
    outs = neck.get('out_channels')
    if outs is None or isinstance(outs, int) or 'in_channels' not in neck:
        return None
    given = len(neck['in_channels'])
    return tuple(range(given - len(outs), given))


def widened(cfg: Mapping[str, Any], written: int | Sequence[int]) -> tuple[int, ...]:
    """Return what a neck or head module of ``cfg`` makes of the channels ``written``.

    Args:
        cfg: Its ``type`` and its ``widen_factor`` are read.
        written: Channels as the config has them.
    """
    factor = cfg.get('widen_factor', 1.0)
    if type_name(cfg) in TO_EIGHTS:
        return tuple(math.ceil(c * factor / 8) * 8 for c in numbers(written))
    return tuple(int(c * factor) for c in numbers(written))


def written_for(part: Mapping[str, Any], right: Sequence[int]) -> list[int] | None:
    """Return what ``part`` must say to make ``right`` of it; None if nothing does."""
    factor = part.get('widen_factor', 1.0)
    found = []
    for channels in right:
        near = math.floor(channels / factor)
        tries = sorted(
            range(near - 8, near + 9), key=lambda n: abs(n * factor - channels)
        )
        fitting = [n for n in tries if n > 0 and widened(part, n) == (channels,)]
        if not fitting:
            return None
        found.append(fitting[0])
    return found


def _channels(
    key: str, cfg: Mapping[str, Any], name: str, fixed: tuple[int, ...] | None = None
) -> Iterator[Slot]:
    if name in cfg:
        yield Slot(
            f'{key}.{name}',
            CHANNELS,
            cfg[name],
            widened(cfg, cfg[name]),
            fixed=fixed,
            factor_key=f'{key}.widen_factor' if 'widen_factor' in cfg else None,
        )
