"""What ``check`` reports: one mistake in a config, with the line that mends it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ERROR, WARNING = SEVERITIES = ('error', 'warning')

KINDS = (
    'channels',
    'levels',
    'strides',
    'layout',
    'registry',
    'argument',
    'base',
    'import',
    'pretrained',
    'preprocess',
    'freeze',
    'decay',
    'classes',
    'forward',
    'training',
)


COMMAND = '$ '
"""Begins a fix that is a command for the shell."""

UNKNOWN = '...'
"""Stands in a fix for a value that only the user can know."""


@dataclass(frozen=True)
class Problem:
    """One mistake in a config.

    Attributes:
        key: Where it is, such as ``model.neck.in_channels`` or
            ``model.auxiliary_head[1].in_channels``.
        kind: One of ``KINDS``.
        severity: ``ERROR`` stops or spoils the training; ``WARNING`` is likely a
            mistake.
        found: What is there, as JSON can hold it, or in words.
        expected: What belongs there, alike.
        fix: Python statements on the config, joined by ``'; '``, as :func:`assign` and
            :func:`delete` make them; or a command for the shell, after ``'$ '``.
    """

    key: str
    kind: str
    severity: str
    found: Any
    expected: Any
    fix: str

    def __post_init__(self) -> None:
        assert self.kind in KINDS and self.severity in SEVERITIES, self


def assign(key: str, value: Any) -> str:
    """``key=value``: a line for the config, and an entry for ``--cfg-options``.

    Args:
        key: Dotted, list entries in brackets.
        value: Numbers, strings and containers of them.
    """
    return f'{key}={_plain(value)!r}'


def delete(key: str) -> str:
    """``del key``."""
    return f'del {key}'


def unknown(key: str) -> str:
    """A fix whose value only the user can know."""
    return f'{key}={UNKNOWN}'


def both(statements: Iterable[str]) -> str:
    """Several statements as one fix."""
    return '; '.join(statements)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(child) for child in value)
    return value


class NotAConfig(Exception):
    """It can't be read as a config; the message is one line, with file and place."""

    def __init__(self, path: Path | str, reason: str, line: int | None = None) -> None:
        reason = ' '.join(reason.split())
        if len(reason) > 300:
            reason = f'{reason[:300]} ...'
        where = f'{path}, line {line}' if line else f'{path}'
        super().__init__(f'{where}: {reason}')
