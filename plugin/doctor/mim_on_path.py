"""Whether the ``mim`` that a shell finds belongs to this environment."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from plugin.doctor.commands import scripts_folder
from plugin.doctor.environment import Environment
from plugin.doctor.finding import ERROR, OK, WARNING, Finding


def mim_on_path(environment: Environment) -> Iterator[Finding]:
    """mim trains with the interpreter that it runs on itself (openmim 0.3.9)."""
    if environment.version('openmim') is None:
        return
    here = scripts_folder()
    fix = f'export PATH={shlex.quote(here)}:"$PATH"'
    mim = shutil.which('mim')
    if mim is None:
        yield Finding('mim', WARNING, 'not on PATH', f'{here}/mim', fix)
        return
    python = interpreter_of(Path(mim))
    if python is None or _same_folder(os.path.dirname(python), here):
        yield Finding('mim', OK, mim)
        return
    yield Finding(
        'mim',
        ERROR,
        f'{mim} trains with {python}, which is another environment',
        f'{here}/mim',
        fix,
    )


def interpreter_of(script: Path) -> str | None:
    """The Python that a script is run by, None if it can't be told.

    Args:
        script: As pip writes it: with the interpreter in its first line or, if that
            has a space or is too long for the system, in an ``exec`` in its second.
    """
    try:
        with script.open(encoding='utf-8') as file:
            first, second = file.readline(), file.readline()
    except (OSError, UnicodeDecodeError):
        return None
    line = second.removeprefix("'''exec' ") if second.startswith("'''exec'") else first
    try:
        words = shlex.split(line.removeprefix('#!'))
    except ValueError:
        return None
    if len(words) > 1 and os.path.basename(words[0]) == 'env':
        return shutil.which(words[-1])
    is_python = words and os.path.basename(words[0]).startswith('python')
    return words[0] if is_python else None


def _same_folder(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)
