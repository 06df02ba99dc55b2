"""Calling a constructor to hear whether it takes its arguments.

Nothing of this reads data: data sets and metrics are not called, since many read their
annotations when they are built.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from numbers import Number
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch import nn

from plugin.config.parts import Part, registry_of
from plugin.measure.signatures import signature_of
from plugin.nearest import CLOSE, nearest


def suspects(part: Part, message: str) -> list[str]:
    """Return arguments that a message names, most likely first.

    Args:
        part: Whose constructor raised.
        message: What it said.
    """
    cfg = part.cfg
    words = set(re.findall(r'[\w./-]+', message))

    def weight(name: str) -> int:
        value = cfg[name]
        said = isinstance(value, (str, Number)) and not isinstance(value, bool)
        listed = isinstance(value, (list, tuple)) and str(tuple(value)) in message
        return 2 * (said and str(value) in words or listed) + (name in words)

    names = [n for n in cfg if n not in ('type', '_scope_') and weight(n)]
    names = sorted(names, key=weight, reverse=True)
    return names or _of_type_in(part, message) or _like_a_key(part) or _quoted(part)


def _of_type_in(part: Part, message: str) -> list[str]:
    """Return the one argument whose type a message names: None instead of a part."""
    quoted = set(re.findall(r"'(\w+)' object", message))
    found = [
        name
        for name, value in part.cfg.items()
        if type(value).__name__ in quoted and name not in ('init_cfg', 'pretrained')
    ]
    return found if len(found) == 1 else []


def _like_a_key(part: Part) -> list[str]:
    """Return arguments that are nearly a key of a table of the class.

    An ``assert arch in self.arch_settings`` does not name what it was given.
    """
    known = {key for key in _of_class(part.target) if isinstance(key, str)}
    return [
        name
        for name, value in part.cfg.items()
        if isinstance(value, str) and name not in ('type', '_scope_')
        if value not in known and nearest(value, known, at_least=CLOSE)
    ]


def _quoted(part: Part) -> list[str]:
    """Return arguments that are numbers in quotes: they are compared with numbers."""
    return [name for name, value in part.cfg.items() if _number_in(value) is not None]


def _number_in(value: Any) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(value) if isinstance(value, str) else None
        except ValueError:
            continue
    return None


def values_for(part: Part, name: str, message: str) -> Iterator[Any]:
    """Yield values that an argument may take, nearest first.

    Args:
        part: Whose constructor refused it.
        name: The argument.
        message: What the constructor said.
    """
    value = part.cfg[name]
    if _number_in(value) is not None:
        yield _number_in(value)
    # Our own messages say what to write.
    for written in re.findall(rf'\b{name}=(\([^)]*\)|\[[^]]*\]|\S+)', message):
        try:
            other = ast.literal_eval(written.rstrip('.,;'))
        except (ValueError, SyntaxError):
            continue
        if other != value and type(other) in (type(value), list, tuple):
            yield list(other) if isinstance(other, tuple) else other
    if isinstance(value, (list, tuple)):
        yield from (other for other in _indices_for(value) if other != list(value))
        return
    known = {v for v in _of_class(part.target) if type(v) is type(value)}
    if isinstance(value, str):
        quoted = re.findall(r'[\w./+-]+', message)
        known |= {w.strip('.') for w in quoted}
        known -= {value, name}
        yield from nearest(value, known, len(known))
    elif isinstance(value, Number) and not isinstance(value, bool):
        numbers = re.findall(r'-?\d+(?:\.\d+)?', message)
        known |= {type(value)(float(n)) for n in numbers}
        yield from sorted(known - {value}, key=lambda v: abs(v - value))


def _indices_for(value: Sequence[Any]) -> Iterator[list[Any]]:
    """Yield as many, counted from a lower stage; those from 0 on; and fewer."""
    if all(type(v) is int for v in value) and list(value) == sorted(set(value)):
        for less in range(1, value[0] + 1):
            yield [v - less for v in value]
    yield list(range(len(value)))
    yield list(value[:-1])


def _of_class(target: Any) -> Iterator[Any]:
    """Yield keys of the tables that a class has, such as ``arch_settings``."""
    for cls in getattr(target, '__mro__', ()):
        for table in vars(cls).values():
            if isinstance(table, (dict, set, frozenset)):
                yield from (k for k in table if isinstance(k, (str, Number)))


REFUSALS = (TypeError, ValueError, AssertionError, KeyError, IndexError)
"""The exceptions with which a constructor refuses its arguments."""

CALLED = ('HOOKS', 'TRANSFORMS', 'OPTIMIZERS', 'PARAM_SCHEDULERS', 'LOG_PROCESSORS')
"""The registries whose parts are built on their own; a model is built as a whole."""


def refusal(part: Part, cfg: Mapping[str, Any]) -> Exception | None:
    """Return the exception that ``part`` raises for ``cfg``; None if it is built."""
    try:
        call(part, cfg)
    except REFUSALS as error:
        return error
    except Exception:  # It lacks a file, a package or the network: no mistake here.
        return None
    return None


def call(part: Part, cfg: Mapping[str, Any]) -> Any:
    """Build ``part`` with the arguments in ``cfg``."""
    args = ConfigDict(deepcopy(dict(cfg)))
    args.setdefault('type', part.type)
    if part.registry == 'OPTIMIZERS':
        return _optimizer(part, args)
    if part.registry == 'PARAM_SCHEDULERS':
        return _scheduler(part, args)
    args.pop('priority', None)
    with DefaultScope.overwrite_default_scope(part.scope):
        return registry_of(part.registry, part.scope).build(args)


def _optimizer(part: Part, args: dict) -> Any:
    signature = signature_of(part.target)
    # mmyolo's constructors take arguments of their own out of an optimizer's.
    args = {k: v for k, v in args.items() if not signature or k in signature.names}
    args.pop('type', None)
    return part.target([nn.Parameter(torch.zeros(1))], **args)


def _scheduler(part: Part, args: dict) -> Any:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], 0.1, momentum=0.9, weight_decay=0.1)
    for name in ('type', '_scope_', 'epoch_length'):
        args.pop(name, None)
    if args.pop('convert_to_iter_based', False):
        if not args.get('by_epoch', True):
            raise AssertionError(
                'convert_to_iter_based=True needs by_epoch=True, which is in epochs'
            )
        return part.target.build_iter_from_epoch(
            optimizer=optimizer, epoch_length=10, **args
        )
    return part.target(optimizer=optimizer, **args)
