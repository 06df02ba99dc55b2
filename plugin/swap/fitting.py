"""Neck and heads made to take what a new backbone gives."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from mmengine.registry import MODELS

from plugin.config.text import Name
from plugin.spec import (
    CHANNELS,
    LEVELS,
    STRIDES,
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
from plugin.swap.pyramid_neck import pyramid_neck

# Necks of mmyolo 0.6.0 that work only where they hand on what they take.
_HANDS_ON = {'YOLOv5PAFPN', 'YOLOv8PAFPN'}


def fit(base: Base, plan: Plan, draft: Draft) -> None:
    """Write into ``draft`` what must follow from ``plan``.

    Raises:
        ValueError: Something in the base can't follow.
    """
    model = _plain(base.model)
    changes = _Changes(model, draft)
    if plan.pyramid:
        for key, value, why in pyramid_neck(base, plan):
            changes.assign(key, value, why)
    else:
        _leave_out(base, plan, changes)
        if base.task == 'yolo':
            _widths(plan, changes)
    _follow(base, plan, changes)
    if not plan.pyramid and base.task != 'seg':
        for key, value in default_strides(base, changes.model, plan):
            changes.assign(key, value)


class _Changes:
    """A model that is changed, and the draft that tells it."""

    def __init__(self, model: dict[str, Any], draft: Draft) -> None:
        self.model = model
        self.draft = draft

    def assign(self, key: str, value: Any, comment: str = '') -> None:
        self.put(key, value)
        self.draft.assign(key, value, comment)

    def put(self, key: str, value: Any) -> None:
        """Change the model only."""
        *outer, last = re.findall(r'[^.\[\]]+', key)[1:]
        node: Any = self.model
        for part in outer:
            node = node[int(part)] if isinstance(node, list) else node[part]
        if isinstance(value, Mapping) and value.get('_delete_'):
            value = {k: v for k, v in value.items() if k != '_delete_'}
        node[last] = value


def _leave_out(base: Base, plan: Plan, changes: _Changes) -> None:
    """Count from the first map that there still is."""
    count = len(base.spec.strides)
    if len(plan.kept) == count:
        return
    if base.task == 'det':
        given = base.model.get('neck')
        for i, neck in enumerate(as_list(given)):
            if neck.get('start_level'):
                key = part_key('model.neck', given, i)
                start = plan.kept.index(neck['start_level'])
                changes.assign(f'{key}.start_level', start)
                if key == 'model.neck':
                    changes.draft.explain(key, _why_left_out(base, plan))
        return
    for name in ('decode_head', 'auxiliary_head'):
        given = base.model.get(name)
        for i, head in enumerate(as_list(given)):
            if 'in_index' in head:
                was = head['in_index']
                moved = [plan.kept.index(m % count) for m in numbers(was)]
                value = moved[0] if isinstance(was, int) else moved
                key = f'{part_key(f"model.{name}", given, i)}.in_index'
                changes.assign(key, value)


def _why_left_out(base: Base, plan: Plan) -> str:
    left = base.pyramid[: plan.kept[0]]
    strides = ' and '.join(map(str, left))
    maps = 'maps' if len(left) > 1 else 'map'
    return f'The base passes over the {maps} of stride {strides}, which is not here.'


def _widths(plan: Plan, changes: _Changes) -> None:
    """mmyolo's neck and head multiply what is written by ``widen_factor``."""
    from plugin.yolo.wiring import widened

    model = changes.model
    neck = model['neck']
    module = model['bbox_head'].get('head_module') or {}
    channels = list(plan.spec.channels)
    hands_on = type_name(neck) in _HANDS_ON
    out_channels = neck.get('out_channels')
    fixed = list(widened(neck, out_channels)) if out_channels is not None else None
    if widened(neck, neck['in_channels']) == plan.spec.channels:
        return
    written: Any = channels
    parts = {'model.neck': neck}
    if hands_on and 'in_channels' in module:
        parts['model.bbox_head.head_module'] = module
        scaled = any(part.get('widen_factor', 1.0) != 1.0 for part in parts.values())
        why = (
            'widen_factor multiplies the channels that neck and head are given, so it '
            'must be 1.'
        )
        written = changes.draft.variable('channels', channels, why if scaled else '')
    for key, part in parts.items():
        names = ['in_channels']
        if part is neck and hands_on:
            names.append('out_channels')
        for name in names:
            changes.draft.assign(f'{key}.{name}', written)
            changes.put(f'{key}.{name}', channels)
        if part.get('widen_factor', 1.0) == 1.0:
            continue
        if not isinstance(written, Name):
            why = 'widen_factor multiplies the channels written here, so it must be 1.'
        if part is neck and not hands_on and fixed is not None:
            kept = fixed[0] if isinstance(out_channels, int) else fixed
            changes.assign(f'{key}.out_channels', kept)
            changes.draft.explain(key, why)
        changes.assign(f'{key}.widen_factor', 1.0)


def _follow(base: Base, plan: Plan, changes: _Changes) -> None:
    """Change whatever place of the base still says something else."""
    slots = import_module(f'plugin.{base.task}.wiring').slots
    for _ in range(3):
        wrong = mismatches(slots(changes.model), plan.spec)
        for one in wrong:
            changes.assign(one.slot.key, _right(base, one))
        if not wrong:
            return
    raise ValueError(_stuck(base, plan, wrong[0]))


def _right(base: Base, wrong: Mismatch) -> Any:
    slot = wrong.slot
    if slot.kind == CHANNELS and wrong.kind == LEVELS and slot.maps is not None:
        if max(slot.maps) >= len(wrong.expected):
            raise ValueError(
                f'{slot.key} is about map {max(slot.maps)}, and there are '
                f'{len(wrong.expected)}'
            )
    if isinstance(slot.written, int):
        return wrong.expected[0]
    if slot.kind == STRIDES and isinstance(slot.written[0], (list, tuple)):
        return [[stride, stride] for stride in wrong.expected]
    return list(wrong.expected)


def _stuck(base: Base, plan: Plan, wrong: Mismatch) -> str:
    channels = ', '.join(map(str, plan.spec.channels))
    rounds = ''
    if base.task == 'yolo' and any(c % 8 for c in plan.spec.channels):
        rounds = ', which rounds up to multiples of 8'
    if wrong.kind == LEVELS:
        return (
            f'{wrong.slot.key} is for {len(wrong.slot.effective)} maps, and there are '
            f'{len(wrong.expected)}'
        )
    return (
        f'{wrong.slot.key} can not be made to take {channels} '
        f'channels{rounds}; it would have {list(wrong.slot.effective)}. Take a '
        'variant of the backbone with other widths'
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_plain(child) for child in value]
    return value


_SAYS = ('strides', 'featmap_strides')


def default_strides(
    base: Base, model: Mapping[str, Any], plan: Plan
) -> Iterator[tuple[str, Any]]:
    """What to write where a new backbone has other strides than the base's.

    Args:
        base: The config.
        model: Its model, with what follows from the slots already changed.
        plan: What the new backbone gives.

    Yields:
        Keys of the model, and what they become.

    Raises:
        ValueError: The default can not be written for as many maps.
    """
    if plan.spec.strides == tuple(base.spec.strides[i] for i in plan.kept):
        return
    head = model.get('bbox_head')
    parts = {'model.bbox_head': head}
    if isinstance(head, Mapping) and 'head_module' in head:
        parts['model.bbox_head.head_module'] = head['head_module']
    for key, part in parts.items():
        if isinstance(part, Mapping):
            for name, value in _of_class(base, part, key, plan.spec.strides):
                yield f'{key}.{name}', value


def _of_class(
    base: Base, part: Mapping[str, Any], key: str, strides: tuple[int, ...]
) -> Iterator[tuple[str, Any]]:
    cls = MODELS.get(_with_scope(part['type'], base.scope))
    for parameter in inspect.signature(cls.__init__).parameters.values():
        default = parameter.default
        if parameter.name in part or default is parameter.empty:
            continue
        holds = isinstance(default, Mapping) and 'strides' in default
        if holds or (parameter.name in _SAYS and default):
            written = default['strides'] if holds else default
            if len(numbers(written)) != len(strides):
                raise ValueError(
                    f'{key}.{parameter.name} is {written} by default, and there are '
                    f'maps of strides {list(strides)}'
                )
            new = list(strides)
            yield parameter.name, {**default, 'strides': new} if holds else new


def _with_scope(type_: str, scope: str) -> str:
    return type_ if '.' in type_ else f'{scope}.{type_}'
