"""Which part of a config a module of the built model comes from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher

from torch import nn

from plugin.config.parts import Part
from plugin.measure.failures import all_modules


def part_of_module(model: nn.Module, path: str, parts: Sequence[Part]) -> Part | None:
    """The innermost part of a config that the module at ``path`` belongs to.

    Most modules are named as the config names them. Others are not: a semi-supervised
    detector builds its ``detector`` twice, as ``student`` and as ``teacher``, and a
    cascade builds one entry several times. There the class decides, and of several
    parts of one class the one with the most similar key.

    Args:
        model: Built from the config.
        path: A name of :func:`~plugin.measure.failures.all_modules`.
        parts: Of the config.

    Returns:
        None if there is no model in the config.
    """
    own = [p for p in parts if re.match(r'model\b', p.key) and _is_module(p)]
    modules = all_modules(model)
    names = path.split('.') if path else []
    for end in range(len(names), -1, -1):
        here = '.'.join(names[:end])
        module = modules.get(here)
        same = [p for p in own if p.target is type(module)]
        if same:
            wanted = f'model.{here}'.rstrip('.')
            return max(same, key=lambda p: _likeness(_dotted(p.key), wanted))
        exact = [p for p in own if end and _dotted(p.key) == f'model.{here}']
        if exact:
            return exact[0]
    return next((p for p in own if p.key == 'model'), None)


def modules_of_part(model: nn.Module, part: Part, parts: Sequence[Part]) -> list[str]:
    """Names of the modules that a part of a config was built into."""
    return [
        name
        for name, module in all_modules(model).items()
        if type(module) is part.target and part_of_module(model, name, parts) is part
    ]


def _is_module(part: Part) -> bool:
    return isinstance(part.target, type) and issubclass(part.target, nn.Module)


def _dotted(key: str) -> str:
    return re.sub(r'\[(\d+)\]', r'.\1', key)


def _likeness(key: str, path: str) -> float:
    return SequenceMatcher(None, key, path).ratio()
