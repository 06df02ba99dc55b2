"""A checked config under its name, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plugin.check import Problem, check
from plugin.config.problem import ERROR
from plugin.weights.files.whole_file import sibling, whole_file


def write_checked(text: str, out: Path, replace: bool) -> list[Problem]:
    """Write a config, unless ``check`` finds an error in it.

    It is checked beside the place where it will be, since ``_base_`` is relative to
    that.

    Args:
        text: Of the config.
        out: Where it goes; folders are made.
        replace: Whether what is there goes.

    Returns:
        What ``check`` warns of.

    Raises:
        ValueError: ``check`` finds an error; nothing was written.
        OSError: It is there already, or can't be written.
    """
    with _folder_of(out):
        problems = _problems(text, out)
        errors = [p for p in problems if p.severity == ERROR]
        if errors:
            told = '; '.join(
                f'{p.key}: found {p.found}, expected {p.expected}' for p in errors
            )
            raise ValueError(f'the result would be wrong, and is not written: {told}')
        with whole_file(out, replace) as partial:
            partial.write_text(text, encoding='utf-8')
    return problems


def _problems(text: str, out: Path) -> list[Problem]:
    # Beside `out` also where that is a link, which is where its user reads it.
    trial = sibling(out, 'partial', '.py')
    try:
        trial.write_text(text, encoding='utf-8')
        return check(str(trial))
    finally:
        trial.unlink(missing_ok=True)


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
