"""Where the files of a config say something, found in their syntax trees."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import libcst as cst
from libcst.helpers import get_full_name_for_node
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper

from plugin.config.bases import base_files
from plugin.config.edits import steps_of

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


@dataclass(frozen=True)
class Spot:
    """How far the steps of a key lead in one file.

    Attributes:
        done: The steps up to ``value``.
        rest: The steps that are left; empty if the entry is written here.
        value: The innermost expression on the way.
        whole: What stands for the place: the key and the value, or the target.
        merged: Whether a base of the file may have more under it.
        via: The variables on the way.
        holder: The dict or list that has the entry; None of a whole variable.
    """

    done: Steps
    rest: Steps
    value: cst.BaseExpression
    whole: cst.CSTNode
    merged: bool
    via: tuple[str, ...] = ()
    holder: cst.BaseExpression | None = None


@dataclass(frozen=True)
class Place:
    """A place in a file. Line and column count from 1; ``text`` is the line."""

    file: Path
    line: int
    column: int
    text: str


class ConfigSource:
    """One Python file of a config.

    Args:
        path: The file.
        contents: What is in it; None to read it.

    Raises:
        OSError: It can't be read.
        libcst.ParserSyntaxError: It is no Python.

    Attributes:
        path: The file.
        contents: What is in it.
        tree: Its syntax tree.
        writes: What its statements write, in order, by the variable.
    """

    def __init__(self, path: Path, contents: bytes | None = None) -> None:
        self.path = path
        self.contents = path.read_bytes() if contents is None else contents
        self.tree = cst.parse_module(self.contents)
        self.writes: dict[str, list[Write]] = {}
        for statement in self.tree.body:
            for name, write in _writes(statement):
                self.writes.setdefault(name, []).append(write)

    @cached_property
    def bases(self) -> list[ConfigSource]:
        """The files that it inherits from, which are Python."""
        files = base_files(self.path)
        return [ConfigSource(f) for f in files if f.suffix == '.py' and f.is_file()]

    @property
    def pure(self) -> bool:
        """Whether it is in the pure-Python style, where nothing is merged."""
        return '_base_' not in self.writes and any(map(_is_pure, self.tree.body))

    @cached_property
    def _spans(self) -> dict[cst.CSTNode, tuple[int, int]]:
        wrapper = MetadataWrapper(self.tree, unsafe_skip_copy=True)
        spans = wrapper.resolve(ByteSpanPositionProvider)
        return {node: (s.start, s.start + s.length) for node, s in spans.items()}

    def span(self, node: cst.CSTNode) -> tuple[int, int]:
        """First byte of a node and the one after its last, with its parentheses."""
        start, end = self._spans[node]
        for part in getattr(node, 'lpar', ()):
            start -= len(self.tree.code_for_node(part).encode())
        for part in getattr(node, 'rpar', ()):
            end += len(self.tree.code_for_node(part).encode())
        return start, end

    def place(self, node: cst.CSTNode) -> Place:
        """Where a node begins."""
        start, _ = self.span(node)
        before = self.contents[:start].decode(errors='replace').splitlines() or ['']
        if self.contents[:start].endswith((b'\n', b'\r')):
            before.append('')
        text = self.contents.decode(errors='replace').splitlines()[len(before) - 1]
        return Place(self.path, len(before), len(before[-1]) + 1, text)

    def spots(self, steps: Steps) -> Iterator[Spot]:
        """How far ``steps`` lead here; where there are several ways, the best first."""
        name = str(steps[0])
        yield from self._variable(name, steps[1:], (name,), (), not self.pure)

    def obstacles(self, name: str) -> list[str]:
        """The constructs that write ``name`` in ways of which nothing is known."""
        return [
            write.how
            for write in self.writes.get(name, ())
            if write.how not in (SETS, MERGES)
        ]

    def _variable(
        self, name: str, steps: Steps, done: Steps, via: tuple[str, ...], merged: bool
    ) -> Iterator[Spot]:
        for write in reversed(self.writes.get(name, ())):
            own = write.steps
            if write.value is None or own != steps[: len(own)]:
                continue
            spot = Spot(
                (*done, *own),
                steps[len(own) :],
                write.value,
                write.target,
                (merged and not own) or write.how == MERGES,
                via,
            )
            found = list(self._inside(spot))
            if write.how == SETS:
                yield from found
                return
            # What one statement does not merge, another before it may.
            yield from (f for f in found if len(f.done) > len(spot.done))
            if not self._is_set_before(name, write):
                yield from (f for f in found if len(f.done) == len(spot.done))

    def _is_set_before(self, name: str, write: Write) -> bool:
        writes = self.writes[name]
        return any(
            other.how == SETS and other.steps == write.steps[: len(other.steps)]
            for other in writes[: writes.index(write)]
        )

    def _inside(self, spot: Spot) -> Iterator[Spot]:
        if not spot.rest:
            yield spot
            return
        step, rest = spot.rest[0], spot.rest[1:]
        entries = entries_of(spot.value)
        if entries is not None:
            is_list = isinstance(spot.value, (cst.List, cst.Tuple))
            merged = spot.merged and not is_list and not _deletes(entries)
            found = [entry for entry in entries if entry.key == step]
            if found:
                yield from self._inside(
                    Spot(
                        (*spot.done, step),
                        rest,
                        found[-1].value,
                        found[-1].whole,
                        merged,
                        spot.via,
                        spot.value,
                    )
                )
            else:
                yield replace(spot, merged=merged)
            return
        if isinstance(spot.value, cst.Name) and spot.value.value not in spot.via:
            name = spot.value.value
            via = (*spot.via, name)
            yield from self._variable(name, spot.rest, spot.done, via, spot.merged)
        yield spot


def entries_of(node: cst.CSTNode) -> list[Entry] | None:
    """The entries of a dict, list or tuple that is written out; None of others."""
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
    """Whether a dict or list takes in others by ``**`` or ``*``."""
    if isinstance(node, cst.Call):
        return any(argument.star for argument in node.args)
    kinds = (cst.StarredElement, cst.StarredDictElement)
    return any(isinstance(e, kinds) for e in getattr(node, 'elements', ()))


def locate(source: ConfigSource, key: str) -> Place | None:
    """Where a key is written, in a config or in a base of it.

    Of a key that is written nowhere, what holds it, as near as there is one.

    Args:
        source: The config.
        key: A path, as :class:`~plugin.config.edits.Edit` has it.
    """
    found = _locate(source, steps_of(key))
    return found[1] if found else None


def _locate(source: ConfigSource, steps: Steps) -> tuple[int, Place] | None:
    """How many steps are left, and the place."""
    spots = sorted(source.spots(steps), key=lambda spot: len(spot.rest))
    found = [(len(s.rest), source.place(s.whole)) for s in spots[:1]]
    if spots and not spots[0].rest:
        return found[0]
    ways = [steps] if not spots or spots[0].merged or source.pure else []
    ways += [(*reference, *s.rest) for s in spots if (reference := _reference(s.value))]
    for way in ways:
        for base in reversed(source.bases):
            inherited = _locate(base, way)
            found += [inherited] if inherited else []
    return min(found, key=lambda f: f[0], default=None)


def _reference(node: cst.CSTNode) -> Steps | None:
    """The steps in a base of ``_base_.model.neck``, or of a name from a base."""
    while isinstance(node, cst.Set) and len(node.elements) == 1:
        node = node.elements[0].value  # {{_base_.model}}
    steps = _target(node)
    if steps is None:
        return None
    return steps[1:] if steps[0] == '_base_' else steps


def _is_pure(statement: cst.CSTNode) -> bool:
    """Whether a statement makes mmengine read the file in the pure-Python style."""
    if not isinstance(statement, cst.SimpleStatementLine):
        return isinstance(statement, cst.With)
    modules: list[str] = []
    for node in statement.body:
        if isinstance(node, cst.Import):
            modules += [alias.evaluated_name for alias in node.names]
        elif isinstance(node, cst.ImportFrom):
            modules.append(get_full_name_for_node(node.module or '') or '.')
    return any(m.partition('.')[0] not in sys.stdlib_module_names for m in modules)


def _writes(statement: cst.CSTNode) -> Iterator[tuple[str, Write]]:
    """(variable, write) of each in a statement of the module."""
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
    steps = _target(target)
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
    steps = _target(call.func.value)
    if steps is None:
        return
    if not _is_merge(call):
        yield from _not_known(call.func.value, f'.{call.func.attr.value}()')
        return
    given = call.args[0] if len(call.args) == 1 else None
    value = given.value if given and not given.keyword and not given.star else call
    yield str(steps[0]), Write(steps[1:], MERGES, value, call)


def _not_known(target: cst.CSTNode, how: str) -> Iterator[tuple[str, Write]]:
    steps = _target(target)
    if steps is not None:
        yield str(steps[0]), Write(steps[1:], how, None, target)


def _unknown(statement: cst.CSTNode, how: str) -> Iterator[tuple[str, Write]]:
    """All that is written in a block."""
    if isinstance(statement, cst.With):
        return  # read_base(), in which nothing but imports is allowed.
    inner: list[cst.CSTNode] = []

    class Statements(cst.CSTVisitor):
        def visit_SimpleStatementLine(self, node: cst.SimpleStatementLine) -> None:
            inner.append(node)

    statement.visit(Statements())
    for node in inner:
        for name, write in _writes(node):
            yield name, Write(write.steps, f'{how} block', None, write.target)


def _target(node: cst.CSTNode) -> Steps | None:
    """The steps of ``model.neck``, ``model['neck']`` or ``hooks[0]``."""
    if isinstance(node, cst.Name):
        return (node.value,)
    if isinstance(node, cst.Attribute):
        inner = _target(node.value)
        return inner and (*inner, node.attr.value)
    if isinstance(node, cst.Subscript) and len(node.slice) == 1:
        inner, index = _target(node.value), node.slice[0].slice
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


def _deletes(entries: list[Entry]) -> bool:
    return any(
        entry.key == '_delete_'
        and isinstance(entry.value, cst.Name)
        and entry.value.value == 'True'
        for entry in entries
    )
