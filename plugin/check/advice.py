"""Say how each problem of a config is fixed, in lines that can be copied."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mmengine.config import Config

from plugin.check import Examined
from plugin.check.fixing import lines_of
from plugin.config.cfg_options import cfg_options
from plugin.config.edits import Fix, apply_fixes, both
from plugin.config.fixing import go_over, refusal
from plugin.config.overrides import statements
from plugin.config.problem import Problem
from plugin.config.source import ConfigSource
from plugin.config.workbench import Workbench, workbench


@dataclass(frozen=True)
class Hunk:
    """Lines that change together.

    Attributes:
        line: Where they begin in the file as it is to be, counted from 1.
        text: The lines with ``-`` and ``+`` before them, as in a diff.
    """

    line: int
    text: str


@dataclass(frozen=True)
class Advice:
    """How one problem is fixed.

    Attributes:
        problem: The problem.
        lines: Lines for the end of a config that inherits from this one; empty if no
            such lines can write it.
        changed: The lines of the user's file that change; empty where ``lines`` may
            stand at its end, and where it can't be changed.
        notes: What the user should know of ``changed``.
        reason: Why the file itself can't be changed; empty if it can.
        options: ``--cfg-options ...``; empty if it can't be written so.
    """

    problem: Problem
    lines: str = ''
    changed: tuple[Hunk, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str = ''
    options: str = ''


def advise(found: Examined) -> list[Advice]:
    """Return what to do about each problem that was found, in order."""
    if not any(problem.fix for problem in found.problems):
        return [Advice(problem) for problem in found.problems]
    refused = refusal(found.path)
    if refused:
        return [_without_file(found, problem, refused) for problem in found.problems]
    source = ConfigSource(found.path)
    with workbench(found.path) as bench:
        return [_advice(found, problem, source, bench) for problem in found.problems]


def pasted(found: Examined, problem: Problem) -> str:
    """Return the lines for the end of a config that inherits from this one.

    Empty if no such lines can write it.
    """
    if not problem.fix:
        return ''
    if found.cfg is None:
        (edit,) = problem.fix
        name, value = edit.steps[0], edit.value
        return f'{name} = {value!r}\n' if name == '_base_' else ''
    after = _after(found, problem)
    return _lines(found, found.cfg, after) if after else ''


def together(found: Examined, advice: Iterable[Advice]) -> str:
    """Return the lines of several fixes in one, if they cannot follow each other.

    Two statements that assign one name are one too many: the second replaces the first.
    """
    pasted = [a for a in advice if a.lines and not a.changed]
    names = [name for a in pasted for name in _names(a.problem.fix)]
    if len(names) == len(set(names)) or found.cfg is None:
        return ''
    try:
        after = apply_fixes(found.cfg, [a.problem.fix for a in pasted])
    except LookupError:
        return ''
    return _lines(found, found.cfg, after)


def _without_file(found: Examined, problem: Problem, reason: str) -> Advice:
    if not problem.fix:
        return Advice(problem)
    options = found.cfg and cfg_options(found.cfg, problem.fix)
    lines = pasted(found, problem)
    return Advice(problem, lines, reason=reason, options=options or '')


def _advice(
    found: Examined, problem: Problem, source: ConfigSource, bench: Workbench
) -> Advice:
    if not problem.fix:
        return Advice(problem)
    lines = pasted(found, problem)
    options = (found.cfg and cfg_options(found.cfg, problem.fix)) or ''
    written = any(name in source.writes for name in _names(problem.fix))
    if lines and not written:
        return Advice(problem, lines, options=options)
    step = go_over(bench, source.contents, [problem])
    if step.left:
        return Advice(problem, lines, reason=step.left[0].reason, options=options)
    changed = tuple(_hunks(lines_of(source.contents), lines_of(step.contents)))
    return Advice(problem, lines, changed, step.done[0].notes, options=options)


def _after(found: Examined, problem: Problem) -> Config | None:
    """Return the config with a fix, and with those before it if it needs them."""
    try:
        return apply_fixes(found.cfg, [problem.fix])
    except (LookupError, TypeError):
        before = found.problems[: found.problems.index(problem)]
    try:
        return apply_fixes(found.cfg, [*(p.fix for p in before), problem.fix])
    except (LookupError, TypeError):
        return None


def _lines(found: Examined, before: Config, after: Config) -> str:
    pure = Config._is_lazy_import(str(found.path))
    scope = after.get('default_scope')
    try:
        return statements(before._cfg_dict, after._cfg_dict, pure, scope)
    except ValueError:
        return ''


def _names(fix: Fix) -> list[str]:
    return list(dict.fromkeys(str(edit.steps[0]) for edit in both([fix])))


def _hunks(before: list[str], after: list[str]) -> Iterator[Hunk]:
    """Yield the lines that change, without those around them."""
    matcher = difflib.SequenceMatcher(None, before, after)
    for kind, i, i_end, j, j_end in matcher.get_opcodes():
        if kind != 'equal':
            old = ''.join(f'-{line}' for line in _ended(before[i:i_end]))
            new = ''.join(f'+{line}' for line in _ended(after[j:j_end]))
            yield Hunk(j + 1, old + new)


def _ended(lines: list[str]) -> list[str]:
    return [line.rstrip('\r\n') + '\n' for line in lines]
