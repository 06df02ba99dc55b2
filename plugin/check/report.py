"""Format what ``check`` found as text, as JSON and as annotations of GitHub."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from textwrap import wrap
from typing import Any

from plugin.check import Examined
from plugin.check.advice import Advice, advise, pasted, together
from plugin.check.locations import line_of, shown
from plugin.config.packages import of_a_package
from plugin.config.problem import SEVERITIES, Problem

WIDTH = 80


def as_text(found: Examined) -> str:
    """Return the report on one config, for people; lines to copy stand alone."""
    lines = [found.config]
    advice = advise(found)
    for one in advice:
        lines += ['', *_block(one, found)]
    whole = together(found, advice)
    if whole:
        lines += ['', 'All that goes to the end of a config in one, since a second']
        lines += ['statement would replace the first:', whole.rstrip('\n')]
    if found.not_judged:
        lines += ['', *_wrapped('not judged:', ', '.join(found.not_judged))]
    return '\n'.join(lines) + ('\n' if advice or found.not_judged else '')


def summary(all_found: Iterable[Examined]) -> str:
    """Return the last line of a report on several configs."""
    all_found = list(all_found)
    problems = [problem for found in all_found for problem in found.problems]
    configs = f' in {len(all_found)} configs' if len(all_found) > 1 else ''
    if not problems:
        return f'no problems{configs}'
    counts = [
        _count(number, severity)
        for severity in SEVERITIES
        if (number := sum(p.severity == severity for p in problems))
    ]
    safe = sum(bool(p.fix) and p.safe for p in problems)
    unsafe = sum(bool(p.fix) and not p.safe for p in problems)
    ways = [f'--fix writes {safe} of them'] if safe else []
    if unsafe:
        ways.append(f'--unsafe-fixes {"also " if safe else ""}{unsafe}')
    return '; '.join([f'{", ".join(counts)}{configs}', *ways])


def as_json(found: Examined) -> dict[str, Any]:
    """Return the entry of one config in the document."""
    return dict(
        config=found.config,
        problems=[_entry(problem, found) for problem in found.problems],
        not_judged=found.not_judged,
    )


def dumped(document: Any) -> str:
    """Return a document as JSON; a class by the name that imports it."""
    return json.dumps(document, indent=2, default=_named)


def as_annotations(found: Examined) -> Iterator[str]:
    """Yield a workflow command of GitHub for each problem.

    What is written in a file of an installed package is shown at the line of the
    config that inherits from it.
    """
    for problem in found.problems:
        text = f'{problem.key}: found {_said(problem.found)}, '
        text += f'expected {_said(problem.expected)}; {problem.advice}'
        file, line, column = problem.file, problem.line, problem.column
        if Path(file).is_absolute() and of_a_package(file):
            text = f'{shown(file)}, line {line}: {text}'
            file, line, column = str(found.path), 1, 1
        place = f'file={_escaped(shown(file), ":,")}'
        if line:
            place += f',line={line},col={column}'
        title = f'title={_escaped(problem.rule, ":,")}'
        yield f'::{problem.severity} {place},{title}::{_escaped(text)}'


def _block(advice: Advice, found: Examined) -> Iterator[str]:
    problem = advice.problem
    place = shown(problem.file)
    if problem.line:
        place += f':{problem.line}:{problem.column}'
    yield f'{place}: {problem.severity}: {problem.kind}: {problem.key} [{problem.rule}]'
    line = line_of(problem)
    old = [text for hunk in advice.changed for text in hunk.text.splitlines()]
    if line and f'-{line}' not in old:
        yield f'  {line}'
    yield from _wrapped('found', problem.found)
    yield from _wrapped('expected', problem.expected)
    yield from _remedy(advice, found)


def _remedy(advice: Advice, found: Examined) -> Iterator[str]:
    """Yield what to do; what can be copied is on lines of its own, however long."""
    problem, name = advice.problem, Path(found.config).name
    safety = 'safe' if problem.safe else 'unsafe'
    if problem.command:
        yield '  fix       run:'
        yield problem.command
    elif problem.unknown:
        yield f'  fix       only you know what belongs at {problem.unknown}'
    elif advice.changed:
        for hunk in advice.changed:
            word = 'fix' if hunk is advice.changed[0] else 'and'
            yield f'  {word:8}  in {name}, line {hunk.line} ({safety}):'
            yield hunk.text.rstrip('\n')
        for note in advice.notes:
            yield f'            {note}'
    elif ' of ' in problem.key and advice.lines:
        yield f'  fix       in {shown(problem.file)}:'
        yield advice.lines.rstrip('\n')
    elif advice.lines and advice.reason:
        where = f'at the end of a config that inherits from {name} ({safety}), since '
        yield from _wrapped('fix', f'{where}{advice.reason}:')
        yield advice.lines.rstrip('\n')
    elif advice.lines:
        where = f'at the end of {name}, or of a config that inherits from it'
        yield from _wrapped('fix', f'{where} ({safety}):')
        yield advice.lines.rstrip('\n')
    elif problem.fix:
        yield f'  fix       {problem.in_short}, by hand: {advice.reason}'
    if advice.options:
        yield '  or, for one training:'
        yield advice.options


def _entry(problem: Problem, found: Examined) -> dict[str, Any]:
    entry = asdict(problem)
    order = ('key', 'kind', 'rule', 'severity', 'found', 'expected', 'fix')
    return {
        **{name: entry.pop(name) for name in order},
        'fix': pasted(found, problem),
        'edits': [vars(edit) for edit in problem.fix],
        **entry,
    }


def _named(value: Any) -> str:
    name = getattr(value, '__qualname__', None)
    return f'{value.__module__}.{name}' if name else repr(value)


def _count(number: int, what: str) -> str:
    return f'{number} {what}{"" if number == 1 else "s"}'


def _said(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return ', '.join(value)  # Names to choose from, not a value to write.
    return value if isinstance(value, str) else repr(value)


def _wrapped(name: str, value: Any) -> list[str]:
    # A character that is not printable may move the cursor, or worse.
    text = ''.join(
        c if c.isprintable() or c == '\n' else repr(c)[1:-1] for c in _said(value)
    )
    return wrap(
        text,
        WIDTH,
        initial_indent=f'  {name:8}  ',
        subsequent_indent=' ' * 12,
        break_on_hyphens=False,
    ) or [f'  {name:8}  {value!r}']


def _escaped(text: str, more: str = '') -> str:
    for character in f'%\r\n{more}':
        text = text.replace(character, f'%{ord(character):02X}')
    return text
