"""Where mmpretrain's configs write channel counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plugin.spec import CHANNELS, Slot, as_list, numbers, part_key


def slots(model: Mapping[str, Any]) -> list[Slot]:
    """The places in ``model`` that follow from its backbone.

    A classifier's head takes the last map, which most necks only pool. A neck that
    takes channels itself gives others, and the head is none of ours then.

    Args:
        model: ``model`` of an mmpretrain config.
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
