"""The files that will be imported: whose packages, which mim, which copy of ours."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from plugin.doctor.commands import (
    install_again,
    install_mmcv,
    pip_install,
    scripts_folder,
)
from plugin.doctor.environment import Environment, Finding, constants
from plugin.doctor.known import (
    ERROR,
    KNOWN,
    OK,
    OPENCV,
    SHARED,
    WARNING,
    requirement,
    suits,
)
from plugin.libraries import ALL


def shared_folders(environment: Environment) -> Iterator[Finding]:
    """Look for packages that two distributions have written into, and for what is left.

    pip tells neither. The last installed wins, whichever it is, and uninstalling one of
    the two takes the files that both have: neither can be imported then.
    """
    doubled = [m for m in SHARED if len(environment.owners(m)) > 1]
    gone = [m for m in SHARED if environment.owners(m) and not environment.is_whole(m)]
    for module in gone:
        names = _with_versions(environment, module)
        if len(environment.owners(module)) == 1:
            name = environment.owners(module)[0]
            fix = (
                install_mmcv(environment)
                if name not in KNOWN
                else pip_install('--force-reinstall', '--no-deps', requirement(name))
            )
        else:
            fix = install_again(environment, doubled)
        yield Finding(
            f'{module} files',
            ERROR,
            f'missing, although pip lists {names}: another distribution had replaced '
            'them, and was uninstalled',
            'the files of one distribution',
            fix,
        )
    for module in doubled:
        if module not in gone:
            yield Finding(
                f'{module} distributions',
                WARNING,
                f'{_with_versions(environment, module)}, which write into one folder; '
                f'the files there are of {environment.holder(module)}',
                'one of them',
                install_again(environment, doubled),
            )


def _with_versions(environment: Environment, module: str) -> str:
    return ' and '.join(
        f'{name} {environment.version(name)}' for name in environment.owners(module)
    )


def config_names(environment: Environment) -> Iterator[Finding]:
    """Look for libraries whose configs mmengine does not find by ``library::``.

    It looks for a distribution by the name that OpenMMLab gave it (MODULE2PACKAGE in
    mmengine/config/utils.py), also in onedl's own copy.
    """
    for library in ALL:
        folder = environment.folder(library.scope)
        name = library.distributions[0]
        if folder is None or environment.version(name):
            continue
        if name != library.scope and environment.is_whole(library.scope):
            configs = folder / '.mim/configs'
            yield Finding(
                f'{library.scope}:: in _base_',
                WARNING,
                f'not found by mim train, since mmengine looks for {name} and '
                f'{environment.holder(library.scope)} is installed',
                f"the file itself: _base_ = '{configs}/...'",
                f"sed -i 's#{library.scope}::#{configs}/#' CONFIG",
            )


def own_copy(environment: Environment) -> Iterator[Finding]:
    """Look for the copy of this project that a training imports.

    Without the working directory, which mim's programs do not have on their path.
    """
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
    """Look for the interpreter of mim, which trains with it (openmim 0.3.9)."""
    name = environment.holder('mim')
    if name is None:
        return
    if name == 'onedl-mim' and environment.holder('mmdet') == 'onedl-mmdetection':
        yield Finding(
            'mim train',
            OK,
            'onedl-mim does not tell mmdet from mmdet3d: write `mim train '
            'onedl-mmdetection CONFIG`',
        )
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
    """Return the Python that a script is run by, None if it cannot be found out.

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


def opencv(environment: Environment) -> Iterator[Finding]:
    """Look at the version in the folder, and whether the distributions agree on it."""
    installed = {
        name: version
        for name in OPENCV
        if (version := environment.version(name)) is not None
    }
    wanted = [requirement(name) for name in installed or OPENCV[:1]]
    expected = KNOWN[OPENCV[0]].versions
    folder = environment.folder('cv2')
    if folder is None:
        yield Finding('OpenCV', ERROR, 'not installed', expected, pip_install(*wanted))
        return
    # The files of the one that came last.
    names = dict(constants(folder / 'version.py'))
    version = names.get('opencv_version') or next(iter(installed.values()), '0')
    if suits(version, expected):
        yield Finding('OpenCV', OK, version, expected)
    else:
        breaks = environment.folder('mmyolo') is not None
        too_old = suits(version, '<5')
        yield Finding(
            'OpenCV',
            ERROR if breaks or too_old else WARNING,
            version + (', in whose cv2.resize mmyolo fails' if not too_old else ''),
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
