"""What only a forward shows: parts that no wiring knows, such as a user's own neck."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)

from plugin.checking.maps import wrong_slots
from plugin.checking.parts import Part
from plugin.checking.problem import ERROR, UNKNOWN, Problem, assign
from plugin.checking.subject import SIZE, TASKS, Subject

# What torch says of channels that don't fit: what a layer takes, and what it was given.
_MISMATCHES = (
    re.compile(r'to have (\d+) channels, but got (\d+) channels'),
    re.compile(r'same reduction dim, but got \[\d+, (\d+)\] X \[(\d+)'),
    re.compile(r'shapes cannot be multiplied \(\d+x(\d+) and (\d+)x'),
)
HEADS = ('rpn_head', 'bbox_head', 'mask_head', 'decode_head', 'auxiliary_head')


def joints(subject: Subject) -> Iterator[Problem]:
    """Run neck and heads on maps without values, and tell which of them do not fit.

    Whatever fails otherwise is not judged: many layers compute with values.
    """
    if TASKS.get(subject.scope) in (None, 'cls') or subject.spec is None:
        return
    if subject.built is None or wrong_slots(subject):
        return
    mismatch = _mismatch(subject)
    if mismatch is None:
        return
    path, takes, given = mismatch
    part = _part_at(path, subject.parts)
    if part is None:
        return
    key, fix = _mend(part, takes, given, subject)
    found = f'{takes} channels for {path}'
    yield Problem(key, 'channels', ERROR, found, f'{given} channels', fix)


def _mismatch(subject: Subject) -> tuple[str, int, int] | None:
    """The module that does not take what it is given; what it takes, and is given."""
    model = subject.built
    modes = [(module, module.training) for module in model.modules()]
    for module, _ in modes:
        module.training = False
    try:
        return _first_mismatch(model, _maps(subject))
    finally:
        for module, training in modes:
            module.training = training


def _first_mismatch(
    model: nn.Module, maps: Sequence[Tensor]
) -> tuple[str, int, int] | None:
    names = {id(module): name for name, module in model.named_modules()}
    if getattr(model, 'neck', None) is not None:
        maps, error, stack = _run(model.neck, maps)
        if error is not None:
            return _where(error, stack, names)
    for name in HEADS:
        head = getattr(model, name, None)
        for one in head if isinstance(head, nn.ModuleList) else [head]:
            if one is not None:
                _, error, stack = _run(one, maps)
                found = error and _where(error, stack, names)
                if found:
                    return found
    return None


def _run(
    module: nn.Module, maps: Sequence[Tensor]
) -> tuple[Any, Exception | None, list[nn.Module]]:
    """The outputs, else what was raised, and the modules that were running then."""
    with _running() as stack, torch.no_grad():
        try:
            return module(maps), None, []
        except Exception as error:
            return None, error, list(stack)


def _where(
    error: Exception, stack: Sequence[nn.Module], names: dict[int, str]
) -> tuple[str, int, int] | None:
    numbers = _numbers(str(error))
    path = next((names[id(m)] for m in reversed(stack) if id(m) in names), '')
    return numbers and (path, *numbers)


def _maps(subject: Subject) -> tuple[Tensor, ...]:
    device = next((p.device for p in subject.built.parameters()), torch.device('cpu'))
    return tuple(
        torch.zeros(1, c, math.ceil(SIZE / s), math.ceil(SIZE / s), device=device)
        for c, s in zip(subject.spec.channels, subject.spec.strides, strict=True)
    )


def _numbers(message: str) -> tuple[int, int] | None:
    for i, pattern in enumerate(_MISMATCHES):
        found = pattern.search(message)
        if found:
            a, b = map(int, found.groups())
            # A convolution says first what it takes, a product what it is given.
            return (a, b) if i == 0 else (b, a)
    return None


@contextmanager
def _running() -> Iterator[list[nn.Module]]:
    """The modules whose forward is being run, innermost last."""
    stack: list[nn.Module] = []
    before = register_module_forward_pre_hook(lambda module, _: stack.append(module))
    after = register_module_forward_hook(lambda module, *_: _pop(stack))
    try:
        yield stack
    finally:
        before.remove()
        after.remove()


def _pop(stack: list[nn.Module]) -> None:
    stack.pop()


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


def _mend(part: Part, takes: int, given: int, subject: Subject) -> tuple[str, str]:
    """The argument that says ``takes``, and the line after which it fits."""
    for name, value in part.cfg.items():
        key = f'{part.key}.{name}'
        for right in _replaced(value, takes, given):
            fix = assign(key, right)
            fixed = subject.mended([fix])
            if fixed.built is not None and _mismatch(fixed) is None:
                return key, fix
    key = f'{part.key}.in_channels'
    return key, f'{key}={UNKNOWN}'


def _replaced(value: Any, old: int, new: int) -> Iterator[Any]:
    if value == old and isinstance(value, int):
        yield new
    elif isinstance(value, (list, tuple)) and old in value:
        yield [new if v == old else v for v in value]
        for i, v in enumerate(value):
            if v == old:
                yield [*value[:i], new, *value[i + 1 :]]
