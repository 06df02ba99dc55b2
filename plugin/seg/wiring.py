"""Where mmsegmentation's configs write channel counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from plugin.spec import CHANNELS, Slot, as_list, numbers, part_key, type_name


def slots(model: Mapping[str, Any]) -> list[Slot]:
    """The places in ``model`` that follow from its backbone.

    ``in_index`` of a head says which maps its ``in_channels`` are about. Behind a neck
    they are the neck's maps.

    Args:
        model: ``model`` of an mmseg config.
    """
    neck = model.get('neck') or {}
    found = []
    if 'in_channels' in neck:
        written = neck['in_channels']
        key = 'model.neck.in_channels'
        found.append(Slot(key, CHANNELS, written, numbers(written)))
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
    """How many maps a neck gives, if it says so."""
    if type_name(neck) == 'SimpleFeaturePyramid':
        return len(neck.get('scales', (4, 2, 1, 0.5))) + neck.get('extra_maps', 0)
    outs = neck.get('out_channels')
    return neck.get('num_outs') or (None if isinstance(outs, int) else len(outs))
