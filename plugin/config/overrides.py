"""Compute what a config writes to differ from the one that it inherits from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plugin.config.text import expression, imports_of, statement

DELETE_KEY = '_delete_'


def nest(tree: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    """Set an entry of nested dicts; those that are not there are made."""
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
    tree[keys[-1]] = value


def override(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dict that mmengine merges over ``before`` to get ``after``.

    mmengine 0.10.7 merges dicts, replaces everything else whole, and takes a key out
    only together with all others of its dict, by ``_delete_=True``.

    Raises:
        ValueError: An entry of the outermost dict is gone; no child can remove one.
    """
    gone = [key for key in before if key not in after]
    if gone:
        raise ValueError(
            f'{gone[0]} cannot be removed by a config that inherits; edit the base'
        )
    return _over(before, after)


def statements(
    before: Mapping[str, Any], after: Mapping[str, Any], pure: bool, scope: str | None
) -> str:
    """Return the lines at the end of a child that turn ``before`` into ``after``.

    Args:
        before: The config.
        after: As it is to be.
        pure: Whether it is in the pure-Python style, where a child changes the names
            that it has imported.
        scope: The ``default_scope``, which needs not be said again.

    Raises:
        ValueError: No child can say it.
    """
    lines, values = [], without_scope(override(before, after), scope)
    for name, value in values.items():
        if not pure:
            lines += statement(name, value, {})
        elif isinstance(value, Mapping) and isinstance(before.get(name), Mapping):
            start = f'{name}.merge('
            lines.append(f'{start}{expression(value, start, ")")})')
        else:
            lines += statement(name, value, {})
    return '\n'.join([*imports_of(values), *lines]) + '\n'


def without_scope(value: Any, scope: str | None) -> Any:
    """Return ``value`` as plain dicts, without a ``_scope_`` that is the default.

    mmengine marks each dict with a ``type`` that comes from ``mmdet::...`` with its
    scope. Some of the classes that are built do not take the mark.
    """
    if isinstance(value, Mapping):
        return {
            key: without_scope(child, scope)
            for key, child in value.items()
            if key != '_scope_' or child != scope
        }
    if isinstance(value, (list, tuple)):
        return type(value)(without_scope(child, scope) for child in value)
    return value


def _over(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    if any(key not in after for key in before):
        return {DELETE_KEY: True, **after}
    return {
        key: change(before, key, value)
        for key, value in after.items()
        if key not in before or before[key] != value
    }


def change(before: Mapping[str, Any], key: str, value: Any) -> Any:
    """Return what a child of ``before`` writes to have ``value`` under ``key``."""
    if key not in before or not isinstance(value, Mapping):
        return value
    if isinstance(before[key], Mapping):
        return _over(before[key], value)
    return {DELETE_KEY: True, **value}
