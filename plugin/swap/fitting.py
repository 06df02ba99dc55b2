"""Neck and heads made to take what a new backbone gives."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from mmengine.config import Config

from plugin.check.checked_config import CheckedConfig
from plugin.check.model_defaults import written_out
from plugin.spec import (
    CHANNELS,
    LEVELS,
    STRIDES,
    Change,
    Mismatch,
    as_list,
    mismatches,
    numbers,
    part_key,
    type_name,
)
from plugin.swap.base import Base
from plugin.swap.draft import Draft
from plugin.swap.plan import Plan

_HEADS = ('decode_head', 'auxiliary_head')


def fit(base: Base, plan: Plan, draft: Draft) -> None:
    """Write into ``draft`` what must follow from ``plan``.

    Raises:
        ValueError: Something in the base can't follow.
    """
    model = _plain(base.model)
    found: dict[str, Change] = {}
    changes = _pyramid(base, plan) if plan.pyramid else _leave_out(base, plan)
    for change in chain(changes, _follow(base, plan, model)):
        _put(model, change)
        found[change.key] = change
    _write(found, list(plan.spec.channels), draft)


def _put(model: dict[str, Any], change: Change) -> None:
    *outer, last = re.findall(r'[^.\[\]]+', change.key)[1:]
    node: Any = model
    for part in outer:
        node = node[int(part)] if isinstance(node, list) else node[part]
    value = change.value
    if isinstance(value, Mapping) and value.get('_delete_'):
        value = {k: v for k, v in value.items() if k != '_delete_'}
    node[last] = value


def _write(found: Mapping[str, Change], channels: list[int], draft: Draft) -> None:
    """Assign the changes; the backbone's channels by a variable if they repeat."""
    shared = [change for change in found.values() if change.value == channels]
    name: Any = channels
    if len(shared) > 1:
        why = next((change.why for change in shared if change.why), '')
        name = draft.variable('channels', channels, why)
    for change in found.values():
        is_shared = name is not channels and change in shared
        draft.assign(change.key, name if is_shared else change.value)
        # What is true of an argument is said above its part.
        part = change.key.rpartition('.')[0]
        part = change.key if part == 'model' else part
        if change.why and not is_shared and '[' not in part:
            draft.explain(part, change.why)


def _pyramid(base: Base, plan: Plan) -> Iterator[Change]:
    """A neck for a backbone whose maps all have one stride, as a plain ViT's have."""
    stride = plan.spec.strides[0]
    wanted = [base.pyramid[i] for i in plan.kept]
    changes = base.wiring.pyramid(base.model, plan.spec, wanted)
    if changes is None:
        neck = ' and '.join(map(type_name, as_list(base.model.get('neck'))))
        strides = ', '.join(str(base.pyramid[i]) for i in base.used)
        raise ValueError(
            f'all maps of this backbone have stride {stride}, and '
            f'{neck or base.method} reads maps of strides {strides}. Of a plain ViT '
            'with patches of 16 pixels a pyramid is made; leave '
            'timm_kwargs.patch_size out, and patches of 14 are resampled to 16. Only '
            'heads without strides, as of DINO, Mask2Former and UPerNet, take 14'
        )
    neck, *others = changes
    why = f'All maps of a plain ViT have one stride, {stride}; this makes a pyramid.'
    yield Change(neck.key, neck.value, why)
    yield from others


def _leave_out(base: Base, plan: Plan) -> Iterator[Change]:
    """Count from the first map that there still is."""
    count = len(base.spec.strides)
    if len(plan.kept) == count:
        return
    given = base.model.get('neck')
    for i, neck in enumerate(as_list(given)):
        if neck.get('start_level'):
            key = f'{part_key("model.neck", given, i)}.start_level'
            start = plan.kept.index(neck['start_level'])
            yield Change(key, start, _why_left_out(base, plan))
    for name in _HEADS if not given else ():
        given = base.model.get(name)
        for i, head in enumerate(as_list(given)):
            if 'in_index' in head:
                was = head['in_index']
                moved = [plan.kept.index(m % count) for m in numbers(was)]
                key = f'{part_key(f"model.{name}", given, i)}.in_index'
                yield Change(key, moved[0] if isinstance(was, int) else moved)


def _why_left_out(base: Base, plan: Plan) -> str:
    left = base.pyramid[: plan.kept[0]]
    strides = ' and '.join(map(str, left))
    maps = 'maps' if len(left) > 1 else 'map'
    return f'The base passes over the {maps} of stride {strides}, which is not here.'


def _follow(base: Base, plan: Plan, model: dict[str, Any]) -> Iterator[Change]:
    """Change whatever place of the base still says something else.

    Each change is in ``model`` before the next one is asked for.
    """
    tried: set[str] = set()
    while True:
        whole = Config(dict(model=model, default_scope=base.scope))
        checked = CheckedConfig(whole)
        wrong = mismatches(checked.slots, plan.spec)
        if not wrong:
            return
        first = wrong[0]
        if first.slot.key in tried:
            raise ValueError(_stuck(plan, first))
        tried.add(first.slot.key)
        # All of them before the model, which they are read from, changes.
        for change in [*_changes_for(base, first, model)]:
            yield written_out(checked, change)


def _changes_for(
    base: Base, wrong: Mismatch, model: Mapping[str, Any]
) -> Iterator[Change]:
    slot = wrong.slot
    if slot.kind == CHANNELS and wrong.kind == LEVELS and slot.maps is not None:
        if max(slot.maps) >= len(wrong.expected):
            raise ValueError(
                f'{slot.key} is about map {max(slot.maps)}, and there are '
                f'{len(wrong.expected)}'
            )
    if slot.kind == CHANNELS:
        yield from base.wiring.channel_changes(model, slot, wrong.expected)
    elif slot.kind == STRIDES and isinstance(slot.written[0], (list, tuple)):
        yield Change(slot.key, [[stride, stride] for stride in wrong.expected])
    else:
        yield Change(slot.key, list(wrong.expected))


def _stuck(plan: Plan, wrong: Mismatch) -> str:
    slot, effective = wrong.slot, list(wrong.slot.effective)
    if wrong.kind == LEVELS:
        return (
            f'{slot.key} is for {len(effective)} maps, and there are '
            f'{len(wrong.expected)}'
        )
    channels = ', '.join(map(str, plan.spec.channels))
    eights = all(c % 8 == 0 for c in effective) and any(c % 8 for c in wrong.expected)
    rounds = ', which rounds up to multiples of 8' if eights else ''
    return (
        f'{slot.key} cannot be made to take {channels} channels{rounds}; it would '
        f'have {effective}. Take a variant of the backbone with other widths'
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_plain(child) for child in value]
    return value
