"""``custom_imports``: the modules that register what a config names."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from mmengine.config import Config

from plugin.config.packages import of_a_package
from plugin.config.problem import ERROR, WARNING, Problem, assign
from plugin.config.user_code import EndsTheProgram, user_code
from plugin.libraries import ALL, SUCCESSORS
from plugin.nearest import is_typo, nearest

OURS = tuple(library.package for library in ALL)
# Where the name to install is not the name to import.
DISTRIBUTIONS = {
    **{one.scope: one.mim for one in ALL if one.mim != one.scope},
    **SUCCESSORS,
    'cv2': '"opencv-python<5"',
    'PIL': 'pillow',
    'skimage': 'scikit-image',
    'sklearn': 'scikit-learn',
    'yaml': 'pyyaml',
}

_brought: dict[str, frozenset[str]] = {}
"""The modules that came with each module that was imported for a config."""


def imported_for(cfg: Config) -> frozenset[str]:
    """Return the modules that the imports of ``cfg`` have brought into this process."""
    return frozenset().union(*(_brought.get(name, ()) for name in names(cfg)))


def imported_for_others(cfg: Config) -> frozenset[str]:
    """Return the modules that only the imports of other configs have brought."""
    return frozenset().union(*_brought.values()) - imported_for(cfg)


def names(cfg: Config) -> list[str]:
    """Return the modules in ``custom_imports``."""
    written = cfg.get('custom_imports')
    imports = written.get('imports') if isinstance(written, Mapping) else None
    if isinstance(imports, str):
        return [imports]
    return [name for name in imports or () if isinstance(name, str)]


def not_imported(cfg: Config) -> list[str]:
    """Those modules of ``custom_imports`` that are not there, though it was tried."""
    return [name for name in names(cfg) if name not in sys.modules]


def import_problems(cfg: Config) -> Iterator[Problem]:
    """Import what ``cfg`` says, each on its own, and report what fails.

    Args:
        cfg: Loaded without its imports.
    """
    written = cfg.get('custom_imports')
    if not written:
        return
    if not isinstance(written, Mapping) or not set(written) <= {
        'imports',
        'allow_failed_imports',
    }:
        given = names(cfg)
        if isinstance(written, Mapping):
            others = (v for k, v in written.items() if k != 'allow_failed_imports')
            given = given or [n for v in others for n in _listed(v)]
        else:
            given = _listed(written)
        right = dict(imports=given, allow_failed_imports=False)
        yield _problem('custom_imports', _shown(written), right)
        return
    imports = written.get('imports')
    if not isinstance(imports, (list, str)) and imports:
        yield _problem('custom_imports.imports', _shown(imports), _listed(imports))
    if written.get('allow_failed_imports'):
        key = 'custom_imports.allow_failed_imports'
        fix = assign(key, False)
        yield Problem(key, 'import', WARNING, True, False, fix, safe=True)
    folder = Path(cfg.filename).resolve().parent
    given = names(cfg)
    found = {
        name: (error, *_correction(name, error, folder))
        for name in given
        if (error := _import(name)) is not None
    }
    # One value that fixes all of them: it is one line in the config.
    right = [found[n][2] or n if n in found else n for n in given]
    value = right[0] if isinstance(imports, str) else right
    for name, (error, expected, renamed, command) in found.items():
        cause = _cause(name, error)
        key = 'custom_imports.imports'
        fix = assign(key, value) if renamed else ()
        safe = bool(renamed) and is_typo(name, expected)
        yield Problem(
            key, 'import', ERROR, cause, expected, fix, command or '', safe=safe
        )


def import_all(cfg: Config) -> None:
    """Import what can be imported; the rest has been reported."""
    for name in names(cfg):
        _import(name)


def _import(name: str) -> Exception | None:
    before = set(sys.modules)
    try:
        with user_code():
            import_module(name)
    except Exception as error:
        return error
    # Python runs a module once: what came with it is known from the first time only.
    _brought.setdefault(name, frozenset({name, *(set(sys.modules) - before)}))
    return None


def _cause(name: str, error: Exception) -> str:
    """Return the cause in one line, with its place in the user's files."""
    message = ' '.join(str(error).split())[:200]
    if isinstance(error, EndsTheProgram):
        text, error = f'{name}: {message}', error.__cause__
    else:
        text = f'{name}: {type(error).__name__}: {message}'
    if isinstance(error, SyntaxError):
        return text
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if 'importlib' not in frame.filename and frame.filename != __file__
    ]
    if not frames:
        return text
    own = [frame for frame in frames if not of_a_package(frame.filename)]
    last = (own or frames)[-1]
    return f'{text} ({_near_cwd(last.filename)}, line {last.lineno})'


def _correction(
    name: str, error: Exception, folder: Path
) -> tuple[Any, str | None, str | None]:
    """Return what is expected, and the name to write or the command that fixes it."""
    look = f"python -c 'import {name}'"
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if not missing:
        return f'{name} can be imported', None, look
    if name != missing and not name.startswith(f'{missing}.'):
        # The module is there, and what it imports is not.
        top = missing.partition('.')[0]
        if find_spec(top) is None:
            command = f'pip install {DISTRIBUTIONS.get(top, top)}'
            return f'{top} is installed', None, command
        return f'{name} can be imported', None, look
    near = nearest(name, _importable(name, folder), at_least=0.75)
    near = near or [other for other in OURS if other.endswith(f'.{name}')]
    if near:
        return near, near[0], None
    top = name.partition('.')[0]
    for parent in (folder, *folder.parents[:4], Path.cwd()):
        if (parent / top).is_dir() or (parent / f'{top}.py').is_file():
            command = f'export PYTHONPATH={_near_cwd(parent)}:$PYTHONPATH'
            return f'{top} in {parent} is on the path', None, command
    command = f'export PYTHONPATH=/folder/of/{top}:$PYTHONPATH'
    return f'{top} is on the path', None, command


def _importable(name: str, folder: Path) -> list[str]:
    """Modules beside the one that is meant."""
    package, _, _ = name.rpartition('.')
    found = list(OURS)
    if package == 'plugin':
        return found
    try:
        spec = find_spec(package) if package else None
    except Exception:
        spec = None
    if spec and spec.submodule_search_locations:
        places = list(spec.submodule_search_locations)
        found += [f'{package}.{module.name}' for module in iter_modules(places)]
    elif not package:
        # Only folders that Python looks into: elsewhere the name would not help.
        for place in (folder, Path.cwd()):
            if str(place) in sys.path or (place == Path.cwd() and '' in sys.path):
                found += [module.name for module in iter_modules([str(place)])]
    return list(dict.fromkeys(found))


def _problem(key: str, found: Any, right: Any) -> Problem:
    return Problem(key, 'import', ERROR, found, right, assign(key, right), safe=True)


def _listed(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [name for name in value or () if isinstance(name, str)]


def _shown(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value


def _near_cwd(path: str | Path) -> str:
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return str(path)
