"""Comments ``# plugin: ignore[RULE, ...]`` in a config."""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from plugin.config.bases import base_files, read_source
from plugin.config.packages import of_a_package
from plugin.config.problem import WARNING, Problem
from plugin.nearest import CLOSE, nearest

_COMMENT = re.compile(r'#\s*plugin:\s*ignore\[([^\]]*)\]')


@dataclass(frozen=True)
class Ignore:
    """One rule in such a comment.

    Attributes:
        file: The config with the comment.
        line: Of the comment, counted from 1.
        column: Where it begins, counted from 1.
        rule: The name as it is written.
    """

    file: Path
    line: int
    column: int
    rule: str


def apply(
    problems: Iterable[Problem], path: Path, ran: Collection[str], known: Iterable[str]
) -> tuple[list[Problem], list[Problem]]:
    """Leave out the problems that a comment is about.

    A comment is about the line that it ends. In the user's own file, one on the line of
    a ``_base_`` is about all that comes from there.

    Args:
        problems: Each with its rule and its place.
        path: The config.
        ran: Names of the rules that looked at it to the end.
        known: Names of all rules.

    Returns:
        Those that are left, and warnings of comments that are about nothing.
    """
    if path.suffix != '.py':
        return list(problems), []
    used: set[Ignore] = set()
    left = []
    for problem in problems:
        ignored = next(_about(problem, path), None)
        if ignored is None:
            left.append(problem)
        else:
            used.add(ignored)
    unused = [
        _warning(ignore, known)
        for ignore in comments(path)
        if ignore not in used and (ignore.rule in ran or ignore.rule not in known)
    ]
    return left, unused


def comments(path: Path) -> Iterator[Ignore]:
    """Yield the rules in the comments of a file, in order."""
    contents = io.BytesIO(path.read_bytes())
    for token in tokenize.tokenize(contents.readline):
        match = _COMMENT.search(token.string)
        if token.type == tokenize.COMMENT and match:
            line, column = token.start
            for rule in match[1].split(','):
                yield Ignore(path, line, column + match.start() + 1, rule.strip())


def _about(problem: Problem, path: Path) -> Iterator[Ignore]:
    """Yield the comments that are about a problem."""
    file = Path(problem.file)
    if not of_a_package(file):
        for ignore in comments(file):
            if ignore.rule == problem.rule and ignore.line == problem.line:
                yield ignore
    if file != path:
        lines = _lines_of_bases(path, file)
        for ignore in comments(path):
            if ignore.rule == problem.rule and ignore.line in lines:
                yield ignore


def _lines_of_bases(path: Path, file: Path) -> set[int]:
    """Return the lines of a config by which it inherits from ``file``."""
    source = read_source(path)
    lines = [source.places.get(base, (0, 0))[0] for base in source.bases]
    lines += [node.lineno for node in source.modules]
    pairs = zip(lines, base_files(path), strict=False)
    found = {line for line, base in pairs if _leads_to(base, file)}
    # `_base_ = [` stands for all that it lists.
    return found | {source.places['_base_'][0]} if source.places else found


def _leads_to(base: Path, file: Path) -> bool:
    """Return whether a base is a file, or inherits from it."""
    if base.resolve() == file.resolve():
        return True
    return any(_leads_to(other, file) for other in base_files(base))


def _warning(ignore: Ignore, known: Iterable[str]) -> Problem:
    found = f'ignore[{ignore.rule}]'
    expected = f'no such comment: the rule {ignore.rule} finds nothing on this line'
    if ignore.rule not in known:
        near = nearest(ignore.rule, known, at_least=CLOSE)
        expected = f'the name of a rule{", such as " + near[0] if near else ""}'
    return Problem(
        f'# plugin: {found}',
        'ignore',
        WARNING,
        found,
        expected,
        file=str(ignore.file),
        line=ignore.line,
        column=ignore.column,
    )
