"""Locate each problem: file, line and column."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from plugin.config.names import shipped
from plugin.config.problem import Problem
from plugin.config.source import ConfigSource, locate
from plugin.libraries import SCOPES


def with_locations(problems: Iterable[Problem], path: Path) -> list[Problem]:
    """Return ``problems`` of the config at ``path`` with file, line and column.

    What is written nowhere is at what would hold it; what nothing would hold, where
    the file says what it inherits from. Only Python files have lines here.
    """
    problems = list(problems)
    if not problems or path.suffix != '.py':
        return [replace(p, file=p.file or str(path)) for p in problems]
    source = ConfigSource(path)
    placed = [p if p.file else _placed(p, source) for p in problems]
    return [replace(p, file=_plain(p.file, path)) for p in placed]


def _plain(file: str, path: Path) -> str:
    """Return a file without ``..``; the config itself, as that is written."""
    if Path(file).resolve() == path.resolve():
        return str(path)
    return os.path.normpath(file)


def _placed(problem: Problem, source: ConfigSource) -> Problem:
    place = locate(source, problem.key) or locate(source, '_base_')
    if place is None:
        return replace(problem, file=str(source.path), line=1, column=1)
    file, line, column = str(place.file), place.line, place.column
    return replace(problem, file=file, line=line, column=column)


def shown(file: str | Path) -> str:
    """Return a file as the user knows it."""
    path = Path(file)
    for library in SCOPES:
        root = shipped(library)
        if root is not None and root in path.resolve().parents:
            return f'{library}::{path.resolve().relative_to(root).as_posix()}'
    relative = os.path.relpath(path)
    return str(path) if relative.startswith('..') else relative


def line_of(problem: Problem) -> str:
    """Return the line that a problem is on; empty if there is none to show."""
    if not problem.file or not problem.line:
        return ''
    lines = Path(problem.file).read_bytes().decode(errors='replace').splitlines()
    return lines[problem.line - 1] if problem.line <= len(lines) else ''
