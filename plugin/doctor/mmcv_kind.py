"""Which mmcv there is: full, lite with our operators, lite without, or broken."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from plugin.doctor.commands import install_mmcv, pip_uninstall
from plugin.doctor.environment import Environment
from plugin.doctor.finding import ERROR, OK, WARNING, Finding

_DISTRIBUTIONS = ('mmcv', 'mmcv-lite', 'mmcv-full')


def mmcv_kind(environment: Environment) -> Iterator[Finding]:
    """What ``mmcv._ext``, which every library imports, will be."""
    folder = environment.folder('mmcv')
    installed = [name for name in _DISTRIBUTIONS if environment.version(name)]
    if folder is None or not (folder / '__init__.py').is_file():
        yield Finding('mmcv', ERROR, 'not installed', 'mmcv-lite', install_mmcv())
        return
    if len(installed) > 1:
        yield Finding(
            'mmcv distributions',
            WARNING,
            ' and '.join(f'{name} {environment.version(name)}' for name in installed)
            + ', which write into one folder',
            'one of them',
            f'{pip_uninstall(*installed)} && {install_mmcv()}',
        )
    yield _extension(environment, folder, installed)


def compiled_extension(folder: Path) -> Path | None:
    """The compiled ``_ext`` in mmcv's folder, which Python takes before ``_ext.py``."""
    files = (folder / f'_ext{suffix}' for suffix in EXTENSION_SUFFIXES)
    return next((file for file in files if file.is_file()), None)


def _extension(environment: Environment, folder: Path, installed: list[str]) -> Finding:
    version = environment.module_version('mmcv') or 'of unknown version'
    compiled = compiled_extension(folder)
    if compiled is None and (folder / '_ext.py').is_file():
        ops = environment.version('mmcv-lite-ops') or 'of unknown version'
        return Finding('mmcv', OK, f'lite {version} with mmcv-lite-ops {ops}')
    if compiled is None:
        return Finding(
            'mmcv',
            ERROR,
            f'lite {version} without mmcv._ext, so `import mmdet.models` fails',
            'mmcv-lite-ops beside it',
            install_mmcv(),
        )
    reason = environment.probes['mmcv'].reason
    if reason is not None:
        return Finding('import mmcv', ERROR, reason, None, install_mmcv())
    reason = environment.probes['mmcv._ext'].reason
    if reason is None:
        return Finding('mmcv', OK, f'full {version}, compiled ({compiled.name})')
    # pip removes the file with the distribution that it is from, if there is one.
    whole = [name for name in installed if name != 'mmcv-lite']
    remove = pip_uninstall(*whole) if whole else f'rm {shlex.quote(str(compiled))}'
    return Finding(
        'mmcv',
        ERROR,
        f'a compiled {compiled.name} that does not load, and is taken before any '
        f'other: {reason}',
        'one that loads, or none',
        f'{remove} && {install_mmcv()}',
    )
