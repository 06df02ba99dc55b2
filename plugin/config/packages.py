"""Files of installed packages, and their configs, loaded without searching again.

For each ``mmdet::...`` in a ``_base_`` mmengine 0.10 reloads ``pkg_resources``, which
lists all that is installed, and reads every metafile of the package: more than half of
the time in which a config of mmdet is loaded. Most of the rest is its bases, each of
which it parses four times and copies to the disk.
"""

from __future__ import annotations

import copy
import functools
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from mmengine.config import Config, config, utils
from mmengine.fileio import load
from mmengine.utils import get_installed_path, is_installed

_paths: dict[str, str] = {}
_file2dict = Config._file2dict


def of_a_package(file: str | Path) -> bool:
    """Return whether a file is in a folder that pip installs into."""
    path = Path(file).resolve()
    return not {'site-packages', 'dist-packages'}.isdisjoint(path.parts) or any(
        # Whoever works in such a folder has files of their own there.
        path.is_relative_to(folder) and not Path.cwd().is_relative_to(folder)
        for folder in _targets(tuple(sys.path))
    )


@functools.cache
def _targets(folders: tuple[str, ...]) -> list[Path]:
    """Return those of ``pip install --target``, which may have any name."""
    paths = [Path(folder).resolve() for folder in folders if folder]
    return [path for path in paths if any(path.glob('*.dist-info'))]


@contextmanager
def searched_once() -> Iterator[None]:
    """Within it mmengine finds a package, and reads a metafile, once a process.

    A package that is not found is searched for again, and so is one whose folder is no
    longer on ``sys.path``; a file that has changed is read again. So is each config but
    those of a package, whose bases are not expected to change.
    """
    with ExitStack() as stack:
        for module, name, ours in (
            (config, 'is_installed', _is_installed),
            (config, 'get_installed_path', _installed_path),
            (utils, 'load', _loaded),
            (Config, '_file2dict', staticmethod(_config)),
        ):
            stack.enter_context(patch.object(module, name, ours))
        yield


def _is_known(package: str) -> bool:
    return package in _paths and os.path.dirname(_paths[package]) in sys.path


def _is_installed(package: str) -> bool:
    return _is_known(package) or is_installed(package)


def _installed_path(package: str) -> str:
    if not _is_known(package):
        _paths[package] = get_installed_path(package)
    return _paths[package]


def _loaded(path: str) -> Any:
    return _parsed(path, os.stat(path).st_mtime_ns)


def _config(
    filename: str,
    use_predefined_variables: bool = True,
    use_environment_variables: bool = True,
    lazy_import: bool | None = None,
) -> tuple[dict, str, dict]:
    how = use_predefined_variables, use_environment_variables, lazy_import
    if of_a_package(filename) and os.path.exists(filename):
        made = _of_package(filename, os.stat(filename).st_mtime_ns, *how)
        # In its text `{{$NAME:default}}` is a variable of the environment.
        if '$' not in made[1]:
            return copy.deepcopy(made)
    return _file2dict(filename, *how)


@functools.lru_cache(maxsize=64)
def _of_package(filename: str, changed: int, *how: bool | None) -> tuple:
    return _file2dict(filename, *how)


@functools.cache
def _parsed(path: str, changed: int) -> Any:
    return load(path)
