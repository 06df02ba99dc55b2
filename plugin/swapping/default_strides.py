"""Strides that a head has by default, where its config does not say them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.registry import MODELS

from plugin.swapping.base import Base
from plugin.swapping.plan import Plan
from plugin.wiring import numbers

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
