"""Find what the statements of a config file write, in its syntax tree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import libcst as cst

Steps = tuple[str | int, ...]

SETS, MERGES = 'sets', 'merges'
"""How a statement writes: it replaces what was there, or adds to a dict."""

_MERGING = ('merge', 'update')
_DICTS = ('dict', 'ConfigDict')


@dataclass(frozen=True)
class Entry:
    """An entry of a dict or a list as it is written.

    Attributes:
        key: Its key or index.
        value: The expression.
        whole: The key and the value together.
    """

    key: str | int
    value: cst.BaseExpression
    whole: cst.CSTNode


@dataclass(frozen=True)
class Write:
    """A statement that writes a variable, or an entry in it.

    Attributes:
        steps: Which entry; empty for the variable itself.
        how: ``SETS`` or ``MERGES``; else the construct, of which nothing is known.
        value: What is written; None of what is not known.
        target: Where the entry is named.
    """

    steps: Steps
    how: str
    value: cst.BaseExpression | None
    target: cst.CSTNode


def entries_of(node: cst.CSTNode) -> list[Entry] | None:
    """Return the entries of a literal dict, list or tuple; None of others."""
    if isinstance(node, cst.Call):
        name = node.func.value if isinstance(node.func, cst.Name) else None
        if name in _DICTS or _is_merge(node):
            return [*_of_arguments(node)]
        return None
    if isinstance(node, cst.Dict):
        return [
            Entry(key, element.value, element)
            for element in node.elements
            if isinstance(element, cst.DictElement)
            and (key := _literal(element.key)) is not None
        ]
    if isinstance(node, (cst.List, cst.Tuple)):
        entries = []
        for i, element in enumerate(node.elements):
            if isinstance(element, cst.StarredElement):
                break  # How many it brings is not known.
            entries.append(Entry(i, element.value, element))
        return entries
    return None


def has_stars(node: cst.CSTNode) -> bool:
    """Return whether a dict or list takes in others by ``**`` or ``*``."""
    if isinstance(node, cst.Call):
        return any(argument.star for argument in node.args)
    kinds = (cst.StarredElement, cst.StarredDictElement)
    return any(isinstance(e, kinds) for e in getattr(node, 'elements', ()))


def writes_of(statement: cst.CSTNode) -> Iterator[tuple[str, Write]]:
    """Yield (variable, write) of each in a statement of the module."""
    if not isinstance(statement, cst.SimpleStatementLine):
        if not isinstance(statement, (cst.FunctionDef, cst.ClassDef)):
            yield from _unknown(statement, type(statement).__name__.lower())
        return
    for node in statement.body:
        if isinstance(node, cst.Assign):
            for target in node.targets:
                yield from _assigned(target.target, node.value)
        elif isinstance(node, cst.AnnAssign) and node.value is not None:
            yield from _assigned(node.target, node.value)
        elif isinstance(node, cst.AugAssign):
            operator = cst.Module([]).code_for_node(node.operator).strip()
            yield from _not_known(node.target, operator)
        elif isinstance(node, cst.Del):
            yield from _not_known(node.target, 'del')
        elif isinstance(node, cst.Expr) and isinstance(node.value, cst.Call):
            yield from _called(node.value)


def _assigned(
    target: cst.BaseExpression, value: cst.BaseExpression
) -> Iterator[tuple[str, Write]]:
    steps = target_steps(target)
    if steps is not None:
        yield str(steps[0]), Write(steps[1:], SETS, value, target)
        return
    several = (cst.Tuple, cst.List)
    if isinstance(target, several):
        values = value.elements if isinstance(value, several) else ()
        for i, element in enumerate(target.elements):
            if len(values) == len(target.elements):
                yield from _assigned(element.value, values[i].value)
            else:
                yield from _not_known(element.value, 'unpacking')


def _called(call: cst.Call) -> Iterator[tuple[str, Write]]:
    if not isinstance(call.func, cst.Attribute):
        return
    steps = target_steps(call.func.value)
    if steps is None:
        return
    if not _is_merge(call):
        yield from _not_known(call.func.value, f'.{call.func.attr.value}()')
        return
    given = call.args[0] if len(call.args) == 1 else None
    value = given.value if given and not given.keyword and not given.star else call
    yield str(steps[0]), Write(steps[1:], MERGES, value, call)


def _not_known(target: cst.CSTNode, how: str) -> Iterator[tuple[str, Write]]:
    steps = target_steps(target)
    if steps is not None:
        yield str(steps[0]), Write(steps[1:], how, None, target)


def _unknown(statement: cst.CSTNode, how: str) -> Iterator[tuple[str, Write]]:
    """Yield all that is written in a block."""
    if isinstance(statement, cst.With):
        return  # read_base(), in which nothing but imports is allowed.
    inner: list[cst.CSTNode] = []

    class Statements(cst.CSTVisitor):
        def visit_SimpleStatementLine(self, node: cst.SimpleStatementLine) -> None:
            inner.append(node)

    statement.visit(Statements())
    for node in inner:
        for name, write in writes_of(node):
            yield name, Write(write.steps, f'{how} block', None, write.target)


def target_steps(node: cst.CSTNode) -> Steps | None:
    """Return the steps of ``model.neck``, ``model['neck']`` or ``hooks[0]``."""
    if isinstance(node, cst.Name):
        return (node.value,)
    if isinstance(node, cst.Attribute):
        inner = target_steps(node.value)
        return inner and (*inner, node.attr.value)
    if isinstance(node, cst.Subscript) and len(node.slice) == 1:
        inner, index = target_steps(node.value), node.slice[0].slice
        key = _literal(index.value) if isinstance(index, cst.Index) else None
        return None if inner is None or key is None else (*inner, key)
    return None


def _literal(node: cst.CSTNode | None) -> str | int | None:
    if isinstance(node, (cst.SimpleString, cst.ConcatenatedString)):
        value = node.evaluated_value
        return value if isinstance(value, str) else None
    return node.evaluated_value if isinstance(node, cst.Integer) else None


def _of_arguments(call: cst.Call) -> Iterator[Entry]:
    for argument in call.args:
        if argument.keyword is not None:
            yield Entry(argument.keyword.value, argument.value, argument)
        elif not argument.star:
            # `dict(other, key=value)`, with the keys of another dict.
            yield from entries_of(argument.value) or ()


def _is_merge(call: cst.Call) -> bool:
    return isinstance(call.func, cst.Attribute) and call.func.attr.value in _MERGING


def deletes(entries: list[Entry]) -> bool:
    return any(
        entry.key == '_delete_'
        and isinstance(entry.value, cst.Name)
        and entry.value.value == 'True'
        for entry in entries
    )
