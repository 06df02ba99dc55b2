"""Python text as ``ruff format`` leaves it, for what a config is made of."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any

WIDTH = 88
INDENT = 4


@dataclass(frozen=True)
class Name:
    """A variable, or any expression that fits a line, to be written as it is."""

    text: str


def statement(target: str, value: Any, comments: Mapping[tuple, str]) -> list[str]:
    """Return the lines of ``target = value``.

    Args:
        target: A name, or a path of attributes and indices.
        value: Numbers, strings, :class:`Name`, classes by their names, and dicts,
            lists and tuples of them.
        comments: What to say above an entry, by the path of keys that leads to it,
            such as ``('backbone', 'type')``. ``()`` is above the statement.
    """
    lines = _comment(comments.get((), ''), 0)
    text = flat(value)
    too_long = len(f'{target} = {text}') > WIDTH
    if isinstance(value, str) and too_long:
        return [*lines, f'{target} = {text}  # noqa: E501']
    return lines + _lines(f'{target} = ', value, '', 0, (), comments)


def expression(value: Any, before: str = '', after: str = '') -> str:
    """Return the text of ``value``, over several lines where it does not fit into one.

    Args:
        value: As :func:`statement` takes it.
        before: What stands before it on its first line, the indentation included.
        after: What stands after it on its last line.
    """
    start = before.lstrip(' ')
    indent = len(before) - len(start)
    text = '\n'.join(_lines(start, value, after, indent, (), {}))
    return text[len(before) : len(text) - len(after)]


def imports_of(value: Any) -> list[str]:
    """Return the lines that import the classes and functions in ``value``."""
    if isinstance(value, Mapping):
        found = [line for child in value.values() for line in imports_of(child)]
    elif isinstance(value, (list, tuple)):
        found = [line for child in value for line in imports_of(child)]
    elif _is_named(value):
        found = [f'from {value.__module__} import {value.__name__}']
    else:
        found = []
    return list(dict.fromkeys(found))


def _lines(
    before: str,
    value: Any,
    after: str,
    indent: int,
    path: tuple,
    comments: Mapping[tuple, str],
) -> list[str]:
    """Return ``value`` between ``before`` and ``after``, in lines that fit."""
    margin = ' ' * indent
    one_line = f'{margin}{before}{flat(value)}{after}'
    commented = any(p[: len(path)] == path and len(p) > len(path) for p in comments)
    entries = _entries(value)
    if not entries or (len(one_line) <= WIDTH and not commented):
        return [one_line]
    opening, closing = _brackets(value)
    inner = indent + INDENT
    # A call may have its arguments on one line of their own, a list may not.
    hugged = ' ' * inner + ', '.join(f'{b}{flat(v)}' for _, b, v in entries)
    if opening == 'dict(' and len(hugged) <= WIDTH and not commented:
        body = [hugged]
    else:
        body = []
        for key, start, child in entries:
            here = (*path, key)
            body += _comment(comments.get(here, ''), inner)
            body += _lines(start, child, ',', inner, here, comments)
    return [f'{margin}{before}{opening}', *body, f'{margin}{closing}{after}']


def flat(value: Any) -> str:
    """Return the text of ``value`` on one line."""
    if isinstance(value, Name):
        return value.text
    if _is_named(value):
        return value.__name__
    entries = _entries(value)
    if entries is None:
        return _repr(value)
    opening, closing = _brackets(value)
    comma = ',' if isinstance(value, tuple) and len(value) == 1 else ''
    body = ', '.join(f'{start}{flat(child)}' for _, start, child in entries)
    return f'{opening}{body}{comma}{closing}'


def _repr(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return f"float('{value}')"
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return repr(value)
    raise ValueError(
        f'{value!r} cannot be written as text; write numbers, strings, lists or dicts'
    )


def _is_named(value: Any) -> bool:
    """Return whether it is a class or a function that can be imported."""
    name, module = getattr(value, '__name__', ''), getattr(value, '__module__', '')
    return callable(value) and module not in ('', '__main__') and name.isidentifier()


def _entries(value: Any) -> list[tuple[Any, str, Any]] | None:
    """Key, what stands before the value, and the value, of what holds others."""
    if isinstance(value, Mapping):
        equals = '{}=' if _is_call(value) else '{!r}: '
        return [(key, equals.format(key), child) for key, child in value.items()]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [(i, '', child) for i, child in enumerate(value)]
    return None


def _brackets(value: Any) -> tuple[str, str]:
    if isinstance(value, Mapping):
        return ('dict(', ')') if _is_call(value) else ('{', '}')
    return ('(', ')') if isinstance(value, tuple) else ('[', ']')


def _is_call(value: Mapping) -> bool:
    return all(
        isinstance(k, str) and k.isidentifier() and not iskeyword(k) for k in value
    )


def _comment(text: str, indent: int) -> list[str]:
    margin = ' ' * indent + '# '
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=margin,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )
