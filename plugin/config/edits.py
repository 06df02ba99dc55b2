"""Fixes as data: what changes where, and a config after it."""

from __future__ import annotations

import re
from ast import literal_eval
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config, ConfigDict

SET, DELETE = ACTIONS = ('set', 'delete')

_STEP = re.compile(r"""\.?([^.\[\]'"]+)|\[(\d+)\]|\[(['"])(.*?)\3\]""")


@dataclass(frozen=True)
class Edit:
    """One change of a config.

    Attributes:
        path: Where, such as ``model.neck.in_channels`` or ``custom_hooks[0].type``. A
            key, if not an identifier, is in brackets and quotes. An index one past the
            end of a list is a new entry.
        action: ``SET`` or ``DELETE``.
        value: What is set there; None when something is deleted.
    """

    path: str
    action: str
    value: Any = None

    def __post_init__(self) -> None:
        assert self.action in ACTIONS, self

    @property
    def steps(self) -> tuple[str | int, ...]:
        """The keys and indices of ``path``."""
        return steps_of(self.path)

    def __str__(self) -> str:
        if self.action == DELETE:
            return f'del {self.path}'
        return f'{self.path}={self.value!r}'


Fix = tuple[Edit, ...]
"""The edits that are made together, in order."""


def assign(key: str, value: Any) -> Fix:
    """Set one entry.

    Args:
        key: As ``path`` of :class:`Edit`. Dicts on the way that are not there are made.
        value: Numbers, strings, classes, and dicts, lists and tuples of them.
    """
    return (Edit(key, SET, _plain(value)),)


def delete(key: str) -> Fix:
    """Take one entry out."""
    return (Edit(key, DELETE),)


def both(fixes: Iterable[Fix]) -> Fix:
    """Several fixes as one."""
    return tuple(edit for fix in fixes for edit in fix)


def apply_fixes(cfg: Config, fixes: Iterable[Fix]) -> Config:
    """Return a copy of ``cfg`` with ``fixes`` applied.

    Raises:
        LookupError: A fix is about a place that the config does not have.
    """
    copy = deepcopy(cfg)
    for edit in both(fixes):
        _apply(copy._cfg_dict, edit)
    return copy


def steps_of(path: str) -> tuple[str | int, ...]:
    """Return the keys and indices of a path, such as ``('hooks', 0, 'type')``."""
    found, end = [], 0
    while end < len(path):
        match = _STEP.match(path, end)
        if match is None:
            raise ValueError(f'{path!r} is not a path in a config')
        plain, index, _, quoted = match.groups()
        if index or quoted is not None:
            # As it is written: a key may hold what only an escape sequence shows.
            found.append(literal_eval(match.group().strip('[]')))
        else:
            found.append(plain)
        end = match.end()
    return tuple(found)


def path_of(steps: Iterable[str | int]) -> str:
    """Return the path of keys and indices: the inverse of :func:`steps_of`."""
    path = ''
    for step in steps:
        if isinstance(step, str) and step.isidentifier():
            path += f'.{step}' if path else step
        else:
            path += f'[{step!r}]'
    return path


def entry(cfg: Any, steps: Iterable[str | int]) -> Any:
    """Return what a config has at some steps.

    Raises:
        LookupError: It has nothing there.
    """
    for step in steps:
        cfg = cfg[step]
    return cfg


def _apply(cfg: ConfigDict, edit: Edit) -> None:
    node: Any = cfg
    *way, last = edit.steps
    for step in way:
        if isinstance(node, dict) and edit.action == SET:
            node.setdefault(step, ConfigDict())
        node = node[step]
    if edit.action == DELETE:
        del node[last]
    elif isinstance(node, list) and last == len(node):
        node.append(_as_in_configs(deepcopy(edit.value)))
    else:
        node[last] = _as_in_configs(deepcopy(edit.value))


def _as_in_configs(value: Any) -> Any:
    """Return a value with mmengine's dicts, whose entries are attributes too."""
    if isinstance(value, dict):
        return ConfigDict(value)
    if isinstance(value, (list, tuple)):
        return type(value)(_as_in_configs(child) for child in value)
    return value


def _plain(value: Any) -> Any:
    """Return a value without mmengine's dicts."""
    if isinstance(value, Mapping):
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(child) for child in value)
    return value
