"""One thing that was looked at in the environment, and the command that mends it."""

from __future__ import annotations

from dataclasses import dataclass

OK, WARNING, ERROR = STATUSES = ('ok', 'warning', 'error')


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What.
        status: ``ERROR`` will break something; ``WARNING`` may, or leaves a part of
            the project without what it needs; else ``OK``.
        found: What is there, in words.
        expected: What should be, in words; None where nothing in particular is.
        fix: A command for the shell; None where nothing is to be mended.
    """

    name: str
    status: str
    found: str
    expected: str | None = None
    fix: str | None = None

    def __post_init__(self) -> None:
        assert self.status in STATUSES, self
        assert (self.fix is None) is (self.status == OK), self
