"""The file of a base: how it is named from elsewhere, and how it is read."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from mmengine.config import Config

from plugin.backbone_entry import config_path
from plugin.checking.problem import ERROR
from plugin.checking.reading import read


def absolute(name: str) -> str:
    """The ``_base_`` that means the same config everywhere."""
    return name if '::' in name else os.path.abspath(name)


def reference(name: str, folder: Path) -> str:
    """The ``_base_`` of a config in ``folder``, relative if that is safe.

    Args:
        name: A path, or a name in an installed package.
        folder: Of the config that inherits.
    """
    if '::' in name:
        return name
    path = absolute(name)
    relative = Path(os.path.relpath(path, os.path.abspath(folder))).as_posix()
    if relative != Path(os.path.relpath(path, os.path.realpath(folder))).as_posix():
        return path  # Through a link, `..` leads to different places.
    return relative if relative.startswith('../') else f'./{relative}'


def load_as_base(name: str) -> Config:
    """The config that a file with nothing but this ``_base_`` is.

    mmengine marks what comes from ``mmdet::...`` with its scope only when it is
    inherited.

    Args:
        name: A path, or a name in an installed package.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'inherits.py'
        path.write_text(f'_base_ = {absolute(name)!r}\n')
        return Config.fromfile(str(path))


def refuse_broken(name: str) -> None:
    """Raise if a config can't be inherited from.

    Raises:
        ValueError: ``check`` can't read it to the end, or it is in pure Python style.
        OSError: There is no such file.
        NotAConfig: It is none.
    """
    _, problems = read(name)
    errors = [problem for problem in problems if problem.severity == ERROR]
    if errors:
        told = '; '.join(f'{p.key}: {p.found}; write {p.fix}' for p in errors[:3])
        raise ValueError(f'{name} is broken itself: {told}')
    if Config._is_lazy_import(str(config_path(name))):
        raise ValueError(
            f'{name} is written in the pure Python style, from which a config in the '
            'text style can not inherit; take the same one in the text style'
        )
