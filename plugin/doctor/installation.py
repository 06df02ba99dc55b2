"""Which copy of this project a training will import, if any."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from plugin.doctor.environment import Environment, constants
from plugin.doctor.finding import (
    ERROR,
    OK,
    WARNING,
    Finding,
    pip_install,
    scripts_folder,
)
from plugin.doctor.versions import is_within


def own_copy(environment: Environment) -> Iterator[Finding]:
    """Looked up without the working directory, which mim's programs don't have."""
    here = Path(__file__).resolve().parents[2]
    probe = environment.probes['plugin']
    fix = f'export PYTHONPATH={shlex.quote(str(here))}:"$PYTHONPATH"'
    if probe.reason is not None:
        yield Finding(
            'plugin',
            WARNING,
            f'only found from its own folder: {probe.reason}',
            'on PYTHONPATH, or installed with pip',
            fix,
        )
        return
    file = probe.facts.get('file')
    found = Path(file).resolve().parents[1] if file else None
    if found == here:
        version = environment.version('mm-backbone-plugin')
        ways = ['on PYTHONPATH'] if here in _pythonpath() else []
        ways += [f'installed with pip as {version}'] if version else []
        yield Finding('plugin', OK, f'{here} ({", ".join(ways) or "on sys.path"})')
        return
    yield Finding(
        'plugin',
        ERROR if found is None else WARNING,
        f'{found or "another package of this name"} is imported in training',
        f'this copy, {here}',
        fix,
    )


def _pythonpath() -> list[Path]:
    entries = os.environ.get('PYTHONPATH', '').split(os.pathsep)
    return [Path(entry).resolve() for entry in entries if entry]


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


DISTRIBUTIONS = (
    'opencv-python',
    'opencv-python-headless',
    'opencv-contrib-python',
    'opencv-contrib-python-headless',
)
_LOWEST, _BELOW = '4.6', '5'


def opencv(environment: Environment) -> Iterator[Finding]:
    """The version in the folder, and whether the distributions agree on it."""
    installed = {
        name: version
        for name in DISTRIBUTIONS
        if (version := environment.version(name)) is not None
    }
    wanted = [f'{name}>={_LOWEST},<{_BELOW}' for name in installed or DISTRIBUTIONS[:1]]
    expected = f'>={_LOWEST},<{_BELOW}'
    folder = environment.folder('cv2')
    if folder is None:
        yield Finding('OpenCV', ERROR, 'not installed', expected, pip_install(*wanted))
        return
    # The files of the one that came last.
    names = dict(constants(folder / 'version.py'))
    version = names.get('opencv_version') or next(iter(installed.values()), '0')
    if is_within(version, _LOWEST, _BELOW):
        yield Finding('OpenCV', OK, version, expected)
    else:
        # mmyolo's Mosaic dies in cv2.resize of 5.0; the others were not seen to.
        breaks = environment.folder('mmyolo') is not None
        yield Finding(
            'OpenCV',
            ERROR if breaks or not is_within(version, _LOWEST, None) else WARNING,
            f'{version}' + (', in whose cv2.resize mmyolo dies' if breaks else ''),
            expected,
            pip_install(*wanted),
        )
    if len(set(installed.values())) > 1:
        yield Finding(
            'OpenCV distributions',
            WARNING,
            ', '.join(f'{name} {version}' for name, version in installed.items())
            + ': in one folder, so the last installed wins',
            'one version of all',
            pip_install('--force-reinstall', '--no-deps', *wanted),
        )
