"""Versions: of Python, of torch, and those that packages demand of each other."""

from __future__ import annotations

import platform
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from plugin.doctor.commands import (
    install_again,
    install_mmcv,
    pip_install,
    pip_uninstall,
)
from plugin.doctor.environment import Environment, Finding, constants
from plugin.doctor.known import (
    ERROR,
    KNOWN,
    LOWEST_PYTHON,
    OK,
    OPENMMLAB,
    WARNING,
    family_of,
    in_words,
    is_within,
    module_of,
    requirement,
    suits,
    transformers_below,
)
from plugin.libraries import SCOPES


def python_version(environment: Environment) -> Iterator[Finding]:
    """Look at the version of Python."""
    found, expected = platform.python_version(), '>={}.{}'.format(*LOWEST_PYTHON)
    if sys.version_info >= LOWEST_PYTHON:
        yield Finding('Python', OK, found, expected)
    else:
        fix = 'python{}.{} -m venv .venv'.format(*LOWEST_PYTHON)
        yield Finding('Python', ERROR, found, expected, fix)


def ranges(environment: Environment) -> Iterator[Finding]:
    """Compare every known distribution with the versions that work."""
    for name, known in KNOWN.items():
        if known.outside is None or not _is_looked_at(environment, name):
            continue
        version = environment.version(name)
        if version and suits(version, known.versions):
            yield Finding(name, OK, version, known.versions or None)
            continue
        status = known.outside if version else known.missing
        if status is not None:
            wanted = [requirement(name)]
            if name == 'torch':
                # Of one release, or neither works.
                wanted.append(requirement('torchvision'))
            yield Finding(
                name,
                status,
                version or 'not installed',
                f'{known.versions or "any version"} for {known.why}',
                pip_install(*wanted),
            )


def _is_looked_at(environment: Environment, name: str) -> bool:
    known = KNOWN[name]
    if known.needed_by and environment.folder(known.needed_by) is None:
        return False
    if known.module is None:
        return True
    # Of those that share a folder the one whose files are there; of two families with
    # neither the one that the rest is of.
    holder = environment.holder(known.module)
    return name == (holder or environment.name(known.module))


# mmcv_minimum_version in mmdet 3.3, mmyolo 0.6 and mmpretrain 1.2; MMCV_MIN in mmseg.
_BOUND = re.compile(r'(mmcv|mmengine|mmdet)_(min|max)(?:imum)?(?:_version)?', re.I)


def gates(environment: Environment) -> Iterator[Finding]:
    """Look at each package that a library sets bounds for, in its sources or metadata.

    A library whose files are gone is reported by another rule.
    """
    for library in SCOPES:
        if not environment.is_whole(library):
            continue
        bounds = bounds_in(environment.folder(library))
        for subject, (lowest, below) in bounds.items():
            version = _version(environment, subject)
            fits = version is not None and is_within(version, lowest, below)
            yield _gate(environment, library, subject, in_words(lowest, below), fits)
        # onedl's mmdet and mmseg have none in their sources.
        for one in environment.requirements(environment.holder(library) or ''):
            subject = module_of(one.name)
            if subject in ('mmcv', 'mmengine') and subject not in bounds:
                version = _version(environment, subject)
                fits = version is not None and suits(version, str(one.specifier))
                if str(one.specifier):
                    yield _gate(environment, library, subject, str(one.specifier), fits)


def bounds_in(folder: Path) -> Mapping[str, tuple[str | None, str | None]]:
    """Return (lowest, the first too new) by package, from the source of a library.

    Args:
        folder: Of the library, which needn't be importable.
    """
    found: dict[str, dict[str, str]] = {}
    for name, value in constants(folder / '__init__.py'):
        match = _BOUND.fullmatch(name)
        if match:
            found.setdefault(match[1].lower(), {})[match[2].lower()] = value
    return {
        subject: (bounds.get('min'), bounds.get('max'))
        for subject, bounds in found.items()
    }


def _version(environment: Environment, module: str) -> str | None:
    """Return what the gate itself looks at; else what the metadata say."""
    return environment.module_version(module) or next(
        map(environment.version, environment.owners(module)), None
    )


def _gate(
    environment: Environment, library: str, subject: str, expected: str, fits: bool
) -> Finding:
    name = f'{library} wants {subject}'
    found = _version(environment, subject) or 'not installed'
    if fits:
        return Finding(name, OK, found, expected)
    if environment.name(library) is None:
        # onedl has no mmyolo, and mmyolo takes no onedl.
        fix = pip_uninstall(*environment.owners(library))
    elif environment.owners(library) != [environment.name(library)]:
        fix = install_again(environment, [library])
    elif subject == 'mmcv':
        fix = install_mmcv(environment)
    else:
        fix = pip_install(requirement(environment.name(subject)))
    return Finding(name, ERROR, found, expected, fix)


def setuptools_gate(environment: Environment) -> Iterator[Finding]:
    """Look for pkg_resources, which only OpenMMLab's own packages import."""
    holders = map(environment.holder, ('mmengine', 'mim'))
    families = [family_of(name) for name in holders if name]
    if families and OPENMMLAB not in families:
        return
    version = environment.version('setuptools') or 'not installed'
    expected = KNOWN['setuptools'].versions
    if environment.folder('pkg_resources') is not None:
        yield Finding('setuptools', OK, f'{version}, with pkg_resources', expected)
        return
    yield Finding(
        'setuptools',
        ERROR,
        f'{version}, without pkg_resources, so mim and names like mmdet::... fail',
        expected,
        pip_install(requirement('setuptools')),
    )


def transformers_clash(environment: Environment) -> Iterator[Finding]:
    """Look at transformers beside mmpretrain; at neither if one is not installed."""
    version = environment.version('transformers')
    mmpretrain = environment.module_version('mmpretrain')
    if not version or not mmpretrain:
        return
    below = transformers_below(mmpretrain)
    expected = f'<{below} beside mmpretrain {mmpretrain}' if below else None
    if below is None or is_within(version, None, below):
        yield Finding('transformers', OK, version, expected)
        return
    reason = environment.probes['mmpretrain.models'].reason
    if reason is None:
        yield Finding(
            'transformers',
            OK,
            f'{version}; the multimodal models of mmpretrain are left out, which need '
            f'<{below}',
        )
        return
    yield Finding(
        'transformers',
        ERROR,
        f'{version}, with which `import mmpretrain.models` fails, and with it '
        f'`import mmdet.models`: {reason}',
        expected,
        pip_install(f'transformers<{below}'),
    )


def torch_pair(environment: Environment) -> Iterator[Finding]:
    """Compare torch with what torchvision's own metadata demand of it."""
    torch = environment.version('torch')
    asked = [r for r in environment.requirements('torchvision') if r.name == 'torch']
    if torch is None or not asked:
        return
    name, expected = 'torchvision wants torch', str(asked[0].specifier)
    if suits(torch, expected):
        yield Finding(name, OK, torch, expected)
    else:
        fix = pip_install('--upgrade', requirement('torch'), requirement('torchvision'))
        yield Finding(name, ERROR, torch, expected, fix)


def torch_build(environment: Environment) -> Iterator[Finding]:
    """Compare the CUDA that torch was built for with what is there."""
    if environment.folder('torch') is None:
        return
    again = pip_install(
        '--force-reinstall', requirement('torch'), requirement('torchvision')
    )
    probe = environment.probes['torch']
    if probe.reason is not None:
        yield Finding(
            'import torch', ERROR, probe.reason, 'a torch that can be imported', again
        )
        return
    cuda, devices = probe.facts.get('cuda'), probe.facts.get('devices', 0)
    built = f'built for CUDA {cuda}' if cuda else 'built for the CPU only'
    if devices:
        yield Finding('CUDA', OK, f'{built}, {devices} GPU{"s" * (devices > 1)}')
    elif gpu_is_there():
        yield Finding(
            'CUDA',
            WARNING,
            f'{built}, and no GPU can be used although there is an NVIDIA driver',
            'a torch built for a CUDA that the driver has (nvidia-smi names it)',
            again if not cuda else 'nvidia-smi',
        )
    else:
        yield Finding('CUDA', OK, f'{built}; no GPU here, training is on the CPU')


def gpu_is_there() -> bool:
    """Return whether this machine has an NVIDIA driver."""
    return Path('/proc/driver/nvidia/version').exists() or bool(
        shutil.which('nvidia-smi')
    )
