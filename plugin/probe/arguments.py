"""Arguments that a backbone's constructor refuses, with what it takes instead."""

from __future__ import annotations

import inspect
import linecache
import re
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

from plugin.measure.backbone import (
    build,
    check,
    class_of,
    refusal,
    type_name,
    variants_of,
)
from plugin.measure.forward import MeasuredBackbone
from plugin.measure.signatures import arguments_of

_UNEXPECTED = re.compile(r"unexpected keyword argument '(\w+)'")
_MOST_STAGES = 64


def construct(cfg: Mapping[str, Any], given: Sequence[str] = ()) -> MeasuredBackbone:
    """Return the backbone of ``cfg``, built.

    Args:
        cfg: Of the backbone.
        given: Arguments that are likelier than others to be wrong.

    Raises:
        ValueError: There is no such type, or it doesn't take these arguments; the
            message names the argument, its value and what is allowed.
    """
    cls, name = class_of(cfg), type_name(cfg)
    takes = arguments_of(cls)
    if 'out_indices' in cfg and not takes.may_take('out_indices'):
        raise ValueError(
            f'{name} takes no out_indices, so its maps are always the same; it takes '
            f'{", ".join(takes.names) or "no arguments"}'
        )
    check(cfg)
    if inspect.isabstract(cls):
        raise ValueError(f'{name} is a base class; name one of its subclasses')
    missing = [name for name in takes.required if name not in cfg]
    if missing:
        raise ValueError(
            f'{name} needs {" and ".join(missing)}; write --cfg-options '
            + ' '.join(f'{p}={_example(cls, p)}' for p in missing)
        )
    try:
        return MeasuredBackbone(cfg)
    except Exception as error:
        # Ours say what is allowed by themselves.
        if isinstance(error, ValueError) and cls.__module__.startswith('plugin.'):
            raise
        raise ValueError(_refusal(cfg, given, error)) from error


def allowed_out_indices(cfg: Mapping[str, Any]) -> list[int]:
    """Return the indices that a backbone has a map for, each tried alone."""
    allowed: list[int] = []
    for i in range(_MOST_STAGES):
        try:
            found = MeasuredBackbone({**cfg, 'out_indices': (i,)}).forward((224, 224))
            works = bool(found.shapes)
        except Exception:
            works = False
        if works:
            allowed.append(i)
        elif i > 3 + max(allowed, default=0):
            break
    return allowed


def range_of(indices: Sequence[int]) -> str:
    """Return them in words."""
    if len(indices) > 2 and list(indices) == list(range(indices[0], indices[-1] + 1)):
        return f'{indices[0]} to {indices[-1]}'
    return ', '.join(map(str, indices))


def _example(cls: type, argument: str) -> str:
    choices = list(variants_of(cls, argument))
    if choices:
        return str(50 if 50 in choices else choices[0])
    return '...'


def _refusal(cfg: Mapping[str, Any], given: Sequence[str], error: Exception) -> str:
    cls, name = class_of(cfg), type_name(cfg)
    unexpected = _UNEXPECTED.search(str(error))
    if unexpected:
        return refusal(name, unexpected[1], arguments_of(cls).names)
    reason = _reason(name, error)
    culprit = _culprit(cfg, given)
    if culprit is None:
        return f'{name} is refused: {reason}'
    message = f'{name}: {culprit}={cfg[culprit]!r} is refused'
    # A KeyError says no more than the value.
    if reason != str(cfg[culprit]):
        message += f': {reason}'
    choices = list(variants_of(cls, culprit))
    if culprit == 'out_indices':
        choices = allowed_out_indices(cfg)
        return f'{message}; choose from {range_of(choices)}' if choices else message
    if choices:
        return f'{message}; {culprit} is one of {", ".join(map(str, choices))}'
    return message


def _culprit(cfg: Mapping[str, Any], given: Sequence[str]) -> str | None:
    """Return the argument without which, or with another value of which, it builds."""
    arguments = [k for k in cfg if k not in ('type', '_scope_')]
    cls = class_of(cfg)
    required = arguments_of(cls).required
    for argument in sorted(arguments, key=lambda a: a not in given):
        choices = list(variants_of(cls, argument))
        if argument in required:
            others = [{argument: choice} for choice in choices[:1]]
        else:
            others = [{}]
        rest = {k: v for k, v in cfg.items() if k != argument}
        if any(_builds({**rest, **other}) for other in others):
            return argument
    likely = [a for a in arguments if a in given] or arguments
    return likely[0] if len(likely) == 1 else None


def _builds(cfg: Mapping[str, Any]) -> bool:
    try:
        build(cfg, meta=True)
    except Exception:
        return False
    return True


def _reason(name: str, error: Exception) -> str:
    """Return the first line of the error, or the condition of a bare assertion."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines:
        return lines[0].removeprefix(f'{name}: ')[:300]
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, AssertionError) and frames:
        condition = _statement(frames[-1].filename, frames[-1].lineno or 0)
        if condition.startswith('assert '):
            return f'it asserts {condition.removeprefix("assert ")}'
    return type(error).__name__


def _statement(filename: str, line: int) -> str:
    """Return a statement of a file in one line, from its first line on."""
    text = linecache.getline(filename, line).strip()
    while text.endswith('\\') or text.count('(') > text.count(')'):
        line += 1
        more = linecache.getline(filename, line).strip()
        if not more:
            break
        text = f'{text.removesuffix(chr(92)).strip()} {more}'
    return text
