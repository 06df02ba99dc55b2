"""A checked config under its name, or nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plugin.check import Problem, check
from plugin.config.problem import ERROR


def write_checked(text: str, out: Path) -> list[Problem]:
    """Write a config, unless ``check`` finds an error in it.

    It is checked beside the place where it will be, since ``_base_`` is relative to
    that.

    Args:
        text: Of the config.
        out: Where it goes. What is there is replaced; folders are made.

    Returns:
        What ``check`` warns of.

    Raises:
        ValueError: ``check`` finds an error; nothing was written.
    """
    with _folder_of(out):
        partial = out.parent / f'.{out.stem}.{os.getpid()}.partial.py'
        try:
            partial.write_text(text, encoding='utf-8')
            problems = check(str(partial))
            errors = [p for p in problems if p.severity == ERROR]
            if errors:
                told = '; '.join(
                    f'{p.key}: found {p.found}, expected {p.expected}' for p in errors
                )
                raise ValueError(
                    f'the result would be wrong, and is not written: {told}'
                )
            os.replace(partial, out)
        finally:
            partial.unlink(missing_ok=True)
    return problems


@contextmanager
def _folder_of(out: Path) -> Iterator[None]:
    """The folder of ``out``; made, and taken away again on failure."""
    missing = [p for p in out.parents if not p.exists()]
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in missing:
            folder.rmdir()
        raise
