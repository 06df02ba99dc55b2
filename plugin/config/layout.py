"""Entries of a dict or list written in, put in and taken out, in the layout around.

Each function returns the bytes of the whole file. What it does not change stays as it
is, byte by byte, the line ends of the file included.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import libcst as cst

from plugin.config.source import ConfigSource
from plugin.config.text import WIDTH, Name, expression, flat

# A list of numbers up to this length stays on its line, however long that gets.
_SHORT = 60


def replaced(
    source: ConfigSource, node: cst.CSTNode, value: Any, contents: bytes | None = None
) -> bytes:
    """Write ``value`` in the place of an expression.

    Args:
        source: The file.
        node: The expression.
        value: The value.
        contents: What the file is by now, if something behind the expression has
            changed.
    """
    contents = source.contents if contents is None else contents
    start, end = source.span(node)
    line = _splice(contents, start, end, flat(value))
    if _is_one_line(source, node):
        return _wrapped(source.path, line, start)
    before, after = line_before(contents, start), _line_after(contents, end)
    return _splice(contents, start, end, _written(value, before, after))


def added(
    source: ConfigSource,
    node: cst.CSTNode,
    key: str | None,
    value: Any,
    first: bool = False,
) -> bytes:
    """Put an entry into a dict or a list.

    Args:
        source: The file.
        node: The dict or list as it is written.
        key: Of the entry; None in a list.
        value: Of the entry.
        first: Put it before all others, not behind them.
    """
    contents = source.contents
    opening, closing = _inside(source, node)
    spans = [source.span(entry) for entry in _all_of(node)]
    label = _label(node, key)
    if spans and _has_line_each(contents, opening, spans):
        indent = _indent(contents, spans[0][0])
        text = label + _written(value, f'{indent}{label}', ',')
        if first:
            start = spans[0][0]
            return _splice(contents, start, start, f'{text},\n{indent}')
        return _on_a_line(contents, spans[-1][1], closing, f'{indent}{text}')
    if not spans:
        at, end, start, stop = opening, closing, '', ''
    elif first:
        at, end, start, stop = spans[0][0], spans[0][0], '', ', '
    else:
        at, end, start, stop = spans[-1][1], spans[-1][1], ', ', ''
    if _is_one_line(source, node):
        line = _splice(contents, at, end, f'{start}{label}{flat(value)}{stop}')
        return _wrapped(source.path, line, at)
    before = f'{line_before(contents, at)}{start}{label}'
    text = _written(value, before, _line_after(contents, end) + stop)
    return _splice(contents, at, end, f'{start}{label}{text}{stop}')


def removed(source: ConfigSource, node: cst.CSTNode, entry: cst.CSTNode) -> bytes:
    """Take an entry out of a dict or a list, with the comment on its line."""
    contents = source.contents
    spans = [source.span(other) for other in _all_of(node)]
    start, end = source.span(entry)
    index = spans.index((start, end))
    _, closing = _inside(source, node)
    after = _after_comma(contents, end, closing)
    margin = line_before(contents, start)
    begin = start - len(margin.encode())
    rest = contents[after:].partition(b'\n')[0].strip()
    if not margin.strip() and (not rest or rest.startswith(b'#')):
        return _splice(contents, begin, contents.index(b'\n', after) + 1, '')
    if index + 1 < len(spans):
        return _splice(contents, start, spans[index + 1][0], '')
    if not index:
        return _splice(contents, start, after, '')
    previous = spans[index - 1][1]
    if b'#' in contents[previous:start]:  # It stays, and the comma before it.
        return _splice(contents, start, after, '')
    return _splice(contents, previous, end, '')


def appended(contents: bytes, lines: str) -> bytes:
    """Put lines at the end of a file."""
    start = '' if not contents or contents.endswith(b'\n') else '\n'
    return _splice(contents, len(contents), len(contents), start + lines)


def line_before(contents: bytes, position: int) -> str:
    """Return the text of a line before a position in it."""
    begin = contents.rfind(b'\n', 0, position) + 1
    return contents[begin:position].decode()


def _line_after(contents: bytes, position: int) -> str:
    """Return the text of a line after a position in it, without a comment."""
    text = contents[position:].partition(b'\n')[0].decode()
    return text.partition('  #')[0].rstrip()


def _written(value: Any, before: str, after: str) -> str:
    line = flat(value)
    fits = len(before) + len(line) + len(after) <= WIDTH
    short = not _has_dicts(value) and len(line) <= _SHORT
    return line if fits or short else expression(value, before, after)


def _has_dicts(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_has_dicts, value))
    return isinstance(value, Mapping)


def _splice(contents: bytes, start: int, end: int, text: str) -> bytes:
    ends = '\r\n' if b'\r\n' in contents else '\n'
    new = text.replace('\n', ends).encode()
    return contents[:start] + new + contents[end:]


def _all_of(node: cst.CSTNode) -> list[cst.CSTNode]:
    """Return all entries as they are written, with those that are taken in by stars."""
    return list(node.args if isinstance(node, cst.Call) else node.elements)


def _inside(source: ConfigSource, node: cst.CSTNode) -> tuple[int, int]:
    """Return the position behind the opening bracket, and that of the closing one."""
    start, end = source.span(node)
    if isinstance(node, cst.Call):
        start = source.contents.index(b'(', source.span(node.func)[1])
    return start + 1, end - 1


def _label(node: cst.CSTNode, key: str | None) -> str:
    if key is None:
        return ''
    if isinstance(node, cst.Dict):
        return f'{key!r}: '
    if not key.isidentifier():
        raise ValueError(f'{key!r} cannot be an argument of dict()')
    return f'{key}='


def _has_line_each(contents: bytes, opening: int, spans: list[tuple[int, int]]) -> bool:
    """Return whether the entries begin lines of their own."""
    ends = [opening, *(end for _, end in spans)]
    starts = [start for start, _ in spans]
    gaps = zip(ends, starts, strict=False)
    return any(b'\n' in contents[end:start] for end, start in gaps)


def _indent(contents: bytes, position: int) -> str:
    before = line_before(contents, position)
    if not before.strip():
        return before
    # The first entry stands behind the bracket, and the others below it.
    return ' ' * len(before)


def _after_comma(contents: bytes, position: int, closing: int) -> int:
    """Return the position after the next comma, if there is one before the end."""
    at = position
    while at < closing:
        if contents[at : at + 1] == b',':
            return at + 1
        if contents[at : at + 1] == b'#':
            at = contents.index(b'\n', at)
        at += 1
    return position


def _on_a_line(contents: bytes, end: int, closing: int, line: str) -> bytes:
    """Put a line behind the last entry, with a comma like that of the last entry."""
    after = _after_comma(contents, end, closing)
    comma = ',' if after > end else ''
    stop = contents.find(b'\n', after, closing)
    if not comma:
        contents = _splice(contents, end, end, ',')
        after, stop = end + 1, stop + 1 if stop >= 0 else stop
    if stop < 0:
        return _splice(contents, after, after, f'\n{line}{comma}')
    if contents[stop - 1 : stop] == b'\r':
        stop -= 1
    return _splice(contents, stop, stop, f'\n{line}{comma}')


def _is_one_line(source: ConfigSource, node: cst.CSTNode) -> bool:
    """Return whether the statement around an expression is on one line."""
    statement = _statement_at(source, source.span(node)[0])
    if statement is None:
        return False
    return b'\n' not in source.contents[slice(*source.span(statement))]


def _statement_at(source: ConfigSource, position: int) -> cst.CSTNode | None:
    """Return the simple statement of the module that a position is in."""
    lines = (s for s in source.tree.body if isinstance(s, cst.SimpleStatementLine))
    for line in lines:
        for statement in line.body:
            if isinstance(statement, (cst.Assign, cst.Expr)):
                start, end = source.span(statement)
                if start <= position < end:
                    return statement
    return None


def _wrapped(path: Path, contents: bytes, position: int) -> bytes:
    """Break the statement at a position over several lines where it got too long."""
    line = line_before(contents, position) + _line_after(contents, position)
    if len(line) <= WIDTH:
        return contents
    source = ConfigSource(path, contents)
    statement = _statement_at(source, position)
    value = statement.value
    if isinstance(value, cst.Call) and len(value.args) == 1 and not _is_dict(value):
        value = value.args[0].value  # model.merge(dict(...))
    if not _is_dict(value):
        return contents
    start, end = source.span(value)
    before = line_before(contents, start)
    after = contents[end : source.span(statement)[1]].decode()
    return _splice(
        contents, start, end, expression(_tree(source, value), before, after)
    )


def _is_dict(node: cst.CSTNode) -> bool:
    """Return whether it is written ``dict(key=value, ...)``, without ``**``."""
    return (
        isinstance(node, cst.Call)
        and isinstance(node.func, cst.Name)
        and node.func.value == 'dict'
        and all(argument.keyword is not None for argument in node.args)
    )


def _tree(source: ConfigSource, node: cst.CSTNode) -> Any:
    """Nested calls of ``dict`` as dicts, and all else as it is written."""
    if not _is_dict(node):
        return Name(source.contents[slice(*source.span(node))].decode())
    return {a.keyword.value: _tree(source, a.value) for a in node.args}


def inserted(source: ConfigSource, after: cst.CSTNode | None, line: str) -> bytes:
    """Put a line below a statement; None for the first of the file."""
    at = 0
    if after is not None:
        end = source.span(after)[1]
        at = source.contents.find(b'\n', end) + 1 or len(source.contents)
    return _splice(source.contents, at, at, f'{line}\n')
