"""What is given as a config and is none."""

from __future__ import annotations

from pathlib import Path


class NotAConfig(Exception):
    """It can't be read as a config; the message is one line, with file and place."""

    def __init__(self, path: Path | str, reason: str, line: int | None = None) -> None:
        reason = ' '.join(reason.split())
        if len(reason) > 300:
            reason = f'{reason[:300]} ...'
        where = f'{path}, line {line}' if line else f'{path}'
        super().__init__(f'{where}: {reason}')
