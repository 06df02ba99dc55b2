"""One thing that was looked at in the environment, and the command that mends it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

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


MMCV_LITE = 'mmcv-lite>=2.0.1,<2.1'
_OPS = 'mmcv-lite-ops'
_CLONE = Path(__file__).resolve().parents[2]


def pip_install(*requirements: str) -> str:
    """``pip install ...`` into the environment of this interpreter."""
    return f'{_pip()} install {" ".join(map(shlex.quote, requirements))}'


def pip_uninstall(*distributions: str) -> str:
    """``pip uninstall ...``, without questions."""
    return f'{_pip()} uninstall -y {" ".join(map(shlex.quote, distributions))}'


def install_mmcv() -> str:
    """mmcv-lite with our operators: the one mmcv that every gate and torch takes."""
    return pip_install(MMCV_LITE, operators_folder())


def install_all() -> str:
    """The set of versions that was tried together."""
    extras = '.[lite,det,seg,yolo,mmpretrain]'
    command = pip_install('-c', 'constraints.txt', '-e', extras, f'./{_OPS}')
    return command if Path.cwd() == _CLONE else f'cd {_CLONE} && {command}'


def operators_folder() -> str:
    """The folder ``mmcv-lite-ops`` of the clone, as pip takes it."""
    folder = _CLONE / _OPS
    # Installed without a clone there is no such folder, and its name must do.
    near = Path.cwd() == _CLONE or not folder.is_dir()
    return f'./{_OPS}' if near else str(folder)


def scripts_folder() -> str:
    """Where this environment has its commands."""
    return os.path.dirname(sys.executable)


def _pip() -> str:
    pip = shutil.which('pip')
    if pip and os.path.dirname(pip) == scripts_folder():
        return 'pip'
    return f'{shlex.quote(sys.executable)} -m pip'
