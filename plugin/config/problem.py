"""What ``check`` reports: one mistake in a config, with what fixes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plugin.config.edits import Edit, Fix, assign, both, delete

__all__ = [
    'ERROR',
    'KINDS',
    'SEVERITIES',
    'WARNING',
    'Edit',
    'Fix',
    'NotAConfig',
    'Problem',
    'assign',
    'both',
    'delete',
]

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
    'ignore',
)


@dataclass(frozen=True)
class Problem:
    """One mistake in a config.

    What fixes it is one of three: ``fix``, ``command``, or ``unknown``.

    Attributes:
        key: Where it is, such as ``model.neck.in_channels`` or
            ``model.auxiliary_head[1].in_channels``.
        kind: One of ``KINDS``.
        severity: ``ERROR`` stops or spoils the training; ``WARNING`` is likely a
            mistake.
        found: What is there, as JSON can hold it, or in words.
        expected: What belongs there, alike.
        fix: The edits of the config after which it fits, as ``assign`` and ``delete``
            make them.
        command: A command for the shell that fixes it.
        unknown: Where a value is missing that only the user can know.
        safe: Whether the config means the same after the fix, and now fits; not so
            where the fix drops something, or chooses for the user.
        rule: Name of the rule that found it; set by ``check``.
        file: Where the key is written: the user's file, or the ``_base_`` that it
            comes from. Set by ``check``, as the next two.
        line: Counted from 1; None where the file can't be read as Python.
        column: Counted from 1.
    """

    key: str
    kind: str
    severity: str
    found: Any
    expected: Any
    fix: Fix = ()
    command: str = ''
    unknown: str = ''
    safe: bool = field(default=False, kw_only=True)
    rule: str = field(default='', kw_only=True)
    file: str | None = field(default=None, kw_only=True)
    line: int | None = field(default=None, kw_only=True)
    column: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        assert self.kind in KINDS and self.severity in SEVERITIES, self

    @property
    def in_short(self) -> str:
        """Return the fix in one line, for a message; not for pasting."""
        if self.command:
            return f'$ {self.command}'
        if self.unknown:
            return f'{self.unknown}=...'
        return '; '.join(map(str, self.fix))

    @property
    def advice(self) -> str:
        """Return what to do, for the end of a message."""
        return f'run {self.command}' if self.command else f'write {self.in_short}'


class NotAConfig(Exception):
    """Raised for a file that is not a config; one line, with file and place."""

    def __init__(self, path: Path | str, reason: str, line: int | None = None) -> None:
        reason = ' '.join(reason.split())
        if len(reason) > 300:
            reason = f'{reason[:300]} ...'
        where = f'{path}, line {line}' if line else f'{path}'
        super().__init__(f'{where}: {reason}')
