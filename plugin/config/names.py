"""Names of configs: what there is, and what is nearest to one that is not there."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from mmengine.config import Config
from mmengine.config.utils import MODULE2PACKAGE

from plugin.config.packages import searched_once
from plugin.config.user_code import user_code
from plugin.libraries import SCOPES, SUCCESSORS
from plugin.measure.shipped import shipped
from plugin.nearest import likeness

SUFFIXES = ('.py', '.yml', '.yaml', '.json')
# Folders that hold no configs and may hold very many files.
_PASSED_OVER = {'site-packages', 'node_modules', 'data', 'work_dirs', '__pycache__'}


def config_file(name: str, folder: Path = Path()) -> Path:
    """Return the file of a config, whether it is there or not.

    Args:
        name: A path, or a name in an installed package (``mmdet::...``).
        folder: What a relative path starts from.

    Raises:
        ValueError: The package of the name is not installed, or none at all.
    """
    library, colons, inside = name.partition('::')
    if not colons:
        return folder / name
    root = shipped(library)
    if root is None:
        known = library in MODULE2PACKAGE
        raise ValueError(
            f'{library} is not installed'
            if known
            else f'{library} is not a library of OpenMMLab; write one of '
            + ', '.join(SCOPES)
        )
    return root / inside


def nearest_configs(name: str, folder: Path = Path(), count: int = 3) -> list[str]:
    """Return names of configs that are there and are most like ``name``, nearest first.

    Args:
        name: A path, or a name in an installed package, of a config that isn't there.
        folder: What a relative path starts from, and the results too.
        count: How many, at most.
    """
    library, colons, inside = name.partition('::')
    if colons:
        wanted = SUCCESSORS.get(library, library)
        own = _of_library(wanted)
        if own:
            return nearest(f'{wanted}::{inside}', own, count)
        every = [known for lib in SCOPES for known in _of_library(lib)]
        return nearest(name, every, count)
    there = (folder / name).parent
    while not there.is_dir() and there != there.parent:
        there = there.parent
    # A config that was copied out of a library still says its bases from there.
    inside = '/'.join(part for part in name.split('/') if part not in ('.', '..'))
    shared = [
        known
        for library in SCOPES
        for known in _of_library(library)
        if known.endswith(f'::{inside}')
    ]
    candidates = [_as_written(path, name, folder) for path in _configs_below(there)]
    if not candidates:
        candidates = [
            _as_written(path, name, folder) for path in _configs_below(folder)
        ]
    return [*shared, *nearest(name, candidates, count)][:count]


def nearest(name: str, candidates: Iterable[str], count: int = 3) -> list[str]:
    """Return ``candidates`` most like ``name``; the last part of a path counts most."""

    def score(candidate: str) -> float:
        return likeness(candidate, name) + 2 * likeness(stem(candidate), stem(name))

    return sorted(candidates, key=score, reverse=True)[:count]


def stem(name: str) -> str:
    """Return the name of a config without its folders and its suffix."""
    return name.rpartition('/')[2].removesuffix('.py')


@cache
def _of_library(library: str) -> tuple[str, ...]:
    root = shipped(library)
    if root is None:
        return ()
    return tuple(
        f'{library}::{path.relative_to(root).as_posix()}'
        for path in sorted(root.rglob('*.py'))
    )


def _configs_below(folder: Path, limit: int = 2000) -> list[Path]:
    """Configs in ``folder`` and below it, nearest to it first."""
    found, folders = [], [folder]
    while folders and len(found) < limit and len(folders) < limit:
        for path in sorted(folders.pop(0).iterdir()):
            if path.is_dir():
                if path.name not in _PASSED_OVER and not path.name.startswith('.'):
                    folders.append(path)
            elif path.suffix in SUFFIXES and path.is_file():
                found.append(path)
    return found


def _as_written(path: Path, name: str, folder: Path) -> str:
    """Return ``path`` in full if ``name`` is, else as a config in ``folder`` has it."""
    if Path(name).is_absolute():
        return path.resolve().as_posix()
    return _relative(path, folder)


def _relative(path: Path, folder: Path) -> str:
    """Return ``path`` as a config in ``folder`` writes it."""
    path, folder = path.resolve(), folder.resolve()
    up = 0
    while folder not in path.parents:
        folder, up = folder.parent, up + 1
    return '../' * up + path.relative_to(folder).as_posix()


def load_config(config: str) -> Config:
    """Load a config by its path, or by its name in an installed package, imports done.

    Raises:
        ValueError: It can't be read.
        OSError: There is no such file.
    """
    path = config_path(config)
    try:
        with user_code(), searched_once():
            return Config.fromfile(str(path))
    except Exception as error:
        # mmengine answers a wrong `mmdet::` name with every name there is.
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise ValueError(
            f"{config} can't be read: {reason[0][:200]}; see what "
            f'`python -m plugin check {config}` says'
        ) from error


def config_path(config: str, folder: Path = Path()) -> Path:
    """Return the file of a config by its path, or by its name in an installed package.

    Args:
        config: A name in a package may do without its ``.py``.
        folder: What a relative path starts from.

    Raises:
        OSError: There is no such file. The message has the nearest names.
    """
    if '::' in config and not config.endswith('.py'):
        config = f'{config}.py'
    reason = 'No such file'
    try:
        path = config_file(config, folder)
        if path.is_file():
            return path
    except ValueError as error:
        reason = str(error)
    if '::' in config:
        near = nearest_configs(config)
        reason += f'; the nearest names are {", ".join(near)}' if near else ''
    raise FileNotFoundError(2, reason, config)
