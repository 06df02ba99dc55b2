"""What only a forward shows: parts that no wiring knows, such as a user's own neck."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.module import register_module_forward_pre_hook

from plugin.check.checked_config import SIZE, CheckedConfig
from plugin.check.rules.maps import wrong_slots
from plugin.config.parts import Part
from plugin.config.problem import ERROR, Fix, Problem, assign
from plugin.libraries import MAP_SCOPES

HEADS = ('rpn_head', 'bbox_head', 'mask_head', 'decode_head', 'auxiliary_head')


def channel_mismatch(checked: CheckedConfig) -> Iterator[Problem]:
    """Run neck and heads on maps without values, and tell which of them do not fit.

    Whatever fails otherwise is not judged: many layers compute with values.
    """
    if checked.scope not in MAP_SCOPES or checked.spec is None:
        return
    if checked.built is None or wrong_slots(checked):
        return
    mismatch = _mismatch(checked)
    if mismatch is None:
        return
    path, takes, given = mismatch
    part = _part_at(path, checked.parts)
    if part is None:
        return
    key, fix = _mend(part, takes, given, checked)
    found = f'{takes} channels for {path}'
    yield Problem(
        key,
        'channels',
        ERROR,
        found,
        f'{given} channels',
        fix,
        unknown='' if fix else key,
        safe=bool(fix),
    )


def _mismatch(checked: CheckedConfig) -> tuple[str, int, int] | None:
    """The module that does not take what it is given; what it takes, and is given."""
    model = checked.built
    modes = [(module, module.training) for module in model.modules()]
    for module, _ in modes:
        module.training = False
    try:
        return _first_mismatch(model, _maps(checked))
    finally:
        for module, training in modes:
            module.training = training


def _first_mismatch(
    model: nn.Module, maps: Sequence[Tensor]
) -> tuple[str, int, int] | None:
    names = {id(module): name for name, module in model.named_modules()}
    try:
        if getattr(model, 'neck', None) is not None:
            maps = _run(model.neck, maps)
        if maps is None:
            return None
        for name in HEADS:
            head = getattr(model, name, None)
            for one in head if isinstance(head, nn.ModuleList) else [head]:
                if one is not None:
                    _run(one, maps)
    except _Mismatch as mismatch:
        return names.get(id(mismatch.module), ''), mismatch.takes, mismatch.given
    return None


class _Mismatch(Exception):
    def __init__(self, module: nn.Module, takes: int, given: int) -> None:
        super().__init__(f'{type(module).__name__} takes {takes}, not {given}')
        self.module, self.takes, self.given = module, takes, given


def _run(module: nn.Module, maps: Sequence[Tensor]) -> Any:
    """The outputs; None where it fails for another reason.

    Raises:
        _Mismatch: A layer in it is given other channels than it takes.
    """
    hook = register_module_forward_pre_hook(_compare)
    try:
        with torch.no_grad():
            return module(maps)
    except _Mismatch:
        raise
    except Exception:
        return None
    finally:
        hook.remove()


def _compare(module: nn.Module, inputs: tuple) -> None:
    # On the meta device torch names no channels, and transposed convolutions take any.
    if not inputs or not isinstance(inputs[0], Tensor):
        return
    shape = inputs[0].shape
    if isinstance(module, _ConvNd) and len(shape) == module.weight.dim():
        takes, given = module.in_channels, shape[1]
    elif isinstance(module, nn.Linear) and len(shape):
        takes, given = module.in_features, shape[-1]
    else:
        return
    if takes != given:
        raise _Mismatch(module, takes, given)


def _maps(checked: CheckedConfig) -> tuple[Tensor, ...]:
    device = next((p.device for p in checked.built.parameters()), torch.device('cpu'))
    return tuple(
        torch.zeros(1, c, math.ceil(SIZE / s), math.ceil(SIZE / s), device=device)
        for c, s in zip(checked.spec.channels, checked.spec.strides, strict=True)
    )


def _part_at(path: str, parts: Sequence[Part]) -> Part | None:
    """The innermost part of the config that the module at ``path`` belongs to."""
    keys = {part.key: part for part in parts}
    names = path.split('.')
    for end in range(len(names), 0, -1):
        key = 'model'
        for name in names[:end]:
            key += f'[{name}]' if name.isdigit() else f'.{name}'
        if key in keys:
            return keys[key]
    return None


def _mend(
    part: Part, takes: int, given: int, checked: CheckedConfig
) -> tuple[str, Fix]:
    """The argument that says ``takes``, and the fix after which it fits."""
    for name, value in part.cfg.items():
        key = f'{part.key}.{name}'
        for right in _replaced(value, takes, given):
            fix = assign(key, right)
            fixed = checked.with_fixes([fix])
            if fixed.built is not None and _mismatch(fixed) is None:
                return key, fix
    return f'{part.key}.in_channels', ()


def _replaced(value: Any, old: int, new: int) -> Iterator[Any]:
    if value == old and isinstance(value, int):
        yield new
    elif isinstance(value, (list, tuple)) and old in value:
        yield [new if v == old else v for v in value]
        for i, v in enumerate(value):
            if v == old:
                yield [*value[:i], new, *value[i + 1 :]]
