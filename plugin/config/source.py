"""Find the place of a key in the files of a config, by their syntax trees."""

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
from plugin.config.writes import (
    MERGES,
    SETS,
    Steps,
    Write,
    deletes,
    entries_of,
    target_steps,
    writes_of,
)


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
        libcst.ParserSyntaxError: It is not Python.

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
            for name, write in writes_of(statement):
                self.writes.setdefault(name, []).append(write)

    @cached_property
    def bases(self) -> list[ConfigSource]:
        """The files that it inherits from, which are Python."""
        files = base_files(self.path)
        return [ConfigSource(f) for f in files if f.suffix == '.py' and f.is_file()]

    @property
    def pure(self) -> bool:
        """Return whether it is in the pure-Python style, where nothing is merged."""
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
        """Return the place where a node begins."""
        start, _ = self.span(node)
        before = self.contents[:start].decode(errors='replace').splitlines() or ['']
        if self.contents[:start].endswith((b'\n', b'\r')):
            before.append('')
        text = self.contents.decode(errors='replace').splitlines()[len(before) - 1]
        return Place(self.path, len(before), len(before[-1]) + 1, text)

    def spots(self, steps: Steps) -> Iterator[Spot]:
        """Yield how far ``steps`` lead here; of several ways, the best first."""
        name = str(steps[0])
        found = self._variable(name, steps[1:], (name,), (), not self.pure)
        yield from sorted(found, key=lambda spot: len(spot.rest))

    def obstacles(self, name: str) -> list[str]:
        """Return the constructs that write ``name`` in ways that are not known."""
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
            merged = spot.merged and not is_list and not deletes(entries)
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


def locate(source: ConfigSource, key: str) -> Place | None:
    """Return the place where a key is written, in a config or in a base of it.

    Of a key that is written nowhere, what holds it, as near as there is one.

    Args:
        source: The config.
        key: A path, as :class:`~plugin.config.edits.Edit` has it.
    """
    found = _locate(source, steps_of(key))
    return found[1] if found else None


def _locate(source: ConfigSource, steps: Steps) -> tuple[int, Place] | None:
    """Return how many steps are left, and the place."""
    spots = list(source.spots(steps))
    found = [(len(s.rest), source.place(s.whole)) for s in spots[:1]]
    if spots and not spots[0].rest:
        return found[0]
    names = [str(steps[0]), *(name for spot in spots for name in spot.via)]
    unknown = [w for n in names for w in source.writes.get(n, ()) if w.value is None]
    if unknown and spots:
        # It is most likely in what `+=` or `.append()` adds.
        return len(spots[0].rest), source.place(unknown[-1].target)
    ways = [steps] if not spots or spots[0].merged or source.pure else []
    ways += [(*reference, *s.rest) for s in spots if (reference := _reference(s.value))]
    for way in ways:
        for base in reversed(source.bases):
            inherited = _locate(base, way)
            found += [inherited] if inherited else []
    return min(found, key=lambda f: f[0], default=None)


def _reference(node: cst.CSTNode) -> Steps | None:
    """Return the steps in a base of ``_base_.model.neck``, or of a name from a base."""
    while isinstance(node, cst.Set) and len(node.elements) == 1:
        node = node.elements[0].value  # {{_base_.model}}
    steps = target_steps(node)
    if steps is None:
        return None
    return steps[1:] if steps[0] == '_base_' else steps


def _is_pure(statement: cst.CSTNode) -> bool:
    """Return whether a statement makes a file one of the pure-Python style."""
    if not isinstance(statement, cst.SimpleStatementLine):
        return isinstance(statement, cst.With)
    modules: list[str] = []
    for node in statement.body:
        if isinstance(node, cst.Import):
            modules += [alias.evaluated_name for alias in node.names]
        elif isinstance(node, cst.ImportFrom):
            modules.append(get_full_name_for_node(node.module or '') or '.')
    return any(m.partition('.')[0] not in sys.stdlib_module_names for m in modules)
