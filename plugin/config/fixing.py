"""Fixes written into the text of a user's config, each tried before it is taken."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import libcst as cst
from mmengine.config import Config

from plugin.config.bases import read_source
from plugin.config.edits import DELETE, Edit, Fix, apply_fixes, entry
from plugin.config.overrides import DELETE_KEY, without_scope
from plugin.config.packages import of_a_package
from plugin.config.problem import NotAConfig, Problem
from plugin.config.rewriting import (
    at_the_end,
    leaves,
    obstacle,
    rewritings,
    rewritten_base,
    with_delete_key,
)
from plugin.config.source import ConfigSource
from plugin.config.workbench import Workbench
from plugin.config.writes import Steps

_MISSING = object()


class CannotEdit(Exception):
    """The text of a config can't be changed so; the message says why."""


@dataclass(frozen=True)
class Done:
    """A problem whose fix is in the text.

    Attributes:
        problem: The problem.
        notes: What the user should know of the change.
    """

    problem: Problem
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Left:
    """A problem whose fix is not, and why."""

    problem: Problem
    reason: str


@dataclass
class Round:
    """The result of one pass over the problems of a config.

    Attributes:
        contents: The text after it.
        done: Problems whose fixes are in it.
        left: Those whose fixes cannot be.
        later: Those that have to be looked for again, since a list is shorter now.
    """

    contents: bytes
    done: list[Done] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    later: list[Problem] = field(default_factory=list)


def go_over(bench: Workbench, contents: bytes, problems: Iterable[Problem]) -> Round:
    """Write the fixes of ``problems`` into a text, one after the other."""
    result = Round(contents)
    wanted = _all_fixed(bench.load(contents), problems)
    shorter: list[Steps] = []
    for problem in problems:
        if any(e.steps[: len(s)] == s for e in problem.fix for s in shorter):
            result.later.append(problem)
            continue
        try:
            if ' of ' in problem.key:
                raise CannotEdit(f'it is in {problem.file}')
            notes = _fix(bench, result, problem.fix, wanted)
        except CannotEdit as error:
            result.left.append(Left(problem, str(error)))
            continue
        result.done.append(Done(problem, notes))
        shorter += [e.steps[:-1] for e in problem.fix if _shortens(e)]
    return result


def _fix(
    bench: Workbench, result: Round, fix: Fix, wanted: Config | None
) -> tuple[str, ...]:
    """Change the text of ``result``; what the user should know of it.

    Raises:
        CannotEdit: It stays as it was.
    """
    contents, notes = result.contents, []
    if fix[0].steps[0] in ('_base_', 'read_base'):
        result.contents = _with_base(bench, contents, fix[0])
        return ()
    current = bench.load(contents)
    if current is None:
        result.contents = _unmerged(bench, contents, fix[0])
        return ()
    source = ConfigSource(bench.path, contents)
    if not any(str(edit.steps[0]) in source.writes for edit in fix):
        result.contents = _at_the_end(bench, source, fix, current)
        return ()
    for edit in fix:
        for leaf in _smallest(current, edit):
            source = ConfigSource(bench.path, contents)
            contents, current, note = _edited(bench, source, leaf, current, wanted)
            notes += [note] if note else []
    result.contents = contents
    return tuple(dict.fromkeys(notes))


def _at_the_end(
    bench: Workbench, source: ConfigSource, fix: Fix, current: Config
) -> bytes:
    """Return the text with one statement for each name that it leaves to its bases."""
    after = _applied(current, fix)
    for way in at_the_end(source, current._cfg_dict, after._cfg_dict):
        loaded = bench.load(way.contents)
        if loaded is not None and _is_right(loaded, after, None, ()):
            return way.contents
    raise CannotEdit('no statement at the end of this file leads to the fix')


def _edited(
    bench: Workbench,
    source: ConfigSource,
    edit: Edit,
    current: Config,
    wanted: Config | None,
) -> tuple[bytes, Config, str]:
    after = _applied(current, (edit,))
    for way in rewritings(source, edit, current._cfg_dict, after._cfg_dict):
        loaded = bench.load(way.contents)
        if loaded is not None and _is_right(loaded, after, wanted, way.variables):
            return way.contents, loaded, way.note
    reason = obstacle(source, edit)
    if reason:
        raise CannotEdit(f'{reason} writes {edit.path}')
    raise CannotEdit(f'no change of this file alone leads to {edit}')


def _unmerged(bench: Workbench, contents: bytes, edit: Edit) -> bytes:
    """Return the text with a dict that replaces what a base has, not merges with it.

    Until then there is no config that could be compared.
    """
    if edit.steps[-1] != DELETE_KEY:
        raise CannotEdit('the config cannot be read as it is')
    changed = with_delete_key(ConfigSource(bench.path, contents), edit.steps[:-1])
    if changed is None:
        raise CannotEdit('it is in another file than this')
    return changed


def _with_base(bench: Workbench, contents: bytes, edit: Edit) -> bytes:
    bench.write(contents)
    source = ConfigSource(bench.path, contents)
    changed = rewritten_base(source, edit)
    if changed is None:
        raise CannotEdit('it is in another file than this')
    bench.write(changed)
    try:
        now = read_source(bench.path).bases
    except NotAConfig as error:
        raise CannotEdit(str(error)) from error
    right = edit.value if isinstance(edit.value, list) else [edit.value]
    if edit.steps[0] == '_base_' and list(now) != right:
        raise CannotEdit('`_base_` is not written out')
    return changed


def refusal(path: Path) -> str:
    """Return why the text of a config is never changed; empty if it may be."""
    if path.suffix != '.py':
        return f'{path.suffix} files are not edited'
    if of_a_package(path):
        return 'a file of an installed package is not edited'
    try:
        ConfigSource(path)
    except cst.ParserSyntaxError:
        return 'it is not read as Python'
    return ''


def write(path: Path, contents: bytes) -> None:
    """Put a text in the place of a file, at once and with the file's permissions."""
    path = path.resolve()
    partial = path.with_name(f'.{path.name}.{os.getpid()}.partial')
    try:
        partial.write_bytes(contents)
        shutil.copymode(path, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _smallest(current: Config, edit: Edit) -> Iterator[Edit]:
    if edit.action == DELETE:
        yield edit
        return
    try:
        before = entry(current, edit.steps)
    except LookupError:
        yield edit
        return
    yield from leaves(before, edit.value, edit.steps)


def _applied(cfg: Config, fix: Fix) -> Config:
    try:
        return apply_fixes(cfg, [fix])
    except (LookupError, TypeError) as error:
        raise CannotEdit(f'there is no {fix[0].path} by now') from error


def _all_fixed(cfg: Config | None, problems: Iterable[Problem]) -> Config | None:
    """Return ``cfg`` with all fixes that can be applied, one after the other."""
    for problem in problems:
        try:
            cfg = cfg and apply_fixes(cfg, [problem.fix])
        except (LookupError, TypeError):
            continue
    return cfg


def _is_right(
    loaded: Config, after: Config, wanted: Config | None, variables: Iterable[str]
) -> bool:
    """Return whether a config is what an edit makes of it, or is nearer to all fixes.

    A variable may be used in several places of which each has the same problem.
    """
    scope = after.get('default_scope')
    one, other, last = (
        without_scope(cfg._cfg_dict, scope) for cfg in (loaded, after, wanted or after)
    )
    for name in variables:
        for cfg in (one, other, last):
            cfg.pop(name, None)
    return _between(one, other, last)


def _between(found: Any, first: Any, last: Any) -> bool:
    if _same(found, first) or _same(found, last):
        return True
    if all(isinstance(x, Mapping) for x in (found, first, last)):
        return all(
            _between(*(x.get(key, _MISSING) for x in (found, first, last)))
            for key in {*found, *first, *last}
        )
    if all(isinstance(x, list) for x in (found, first, last)):
        return len(found) == len(first) == len(last) and all(
            map(_between, found, first, last)
        )
    return False


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one == other


def _shortens(edit: Edit) -> bool:
    """Return whether an item is removed from a list, and the others move up."""
    return edit.action == DELETE and isinstance(edit.steps[-1], int)
