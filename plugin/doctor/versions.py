"""Comparing version numbers, without a package for it."""

from __future__ import annotations

import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from plugin.doctor.environment import Environment
from plugin.doctor.finding import ERROR, OK, WARNING, Finding, pip_install

_STAGES = {'dev': -4, 'a': -3, 'alpha': -3, 'b': -2, 'beta': -2, 'rc': -1, 'post': 1}
_VERSION = re.compile(r'v?(\d+(?:\.\d+)*)(?:[-_.]?([a-z]+)[-_.]?(\d*))?')


def sort_key(version: str) -> tuple[int, ...]:
    """Ascends with the version: ``2.0.0rc4`` < ``2.0`` == ``2.0.0`` < ``2.0.1``.

    A local part (``2.6.0+cu124``) doesn't count.
    """
    match = _VERSION.match(version.lower())
    if match is None:
        return (0, 0, 0, 0, 0, 0)
    numbers = [int(part) for part in match[1].split('.')][:4]
    numbers += [0] * (4 - len(numbers))
    return (*numbers, _STAGES.get(match[2] or '', 0), int(match[3] or 0))


def is_within(version: str, lowest: str | None, below: str | None) -> bool:
    """Whether ``lowest`` <= ``version`` < ``below``."""
    key = sort_key(version)
    return (lowest is None or sort_key(lowest) <= key) and (
        below is None or key < sort_key(below)
    )


def in_words(lowest: str | None, below: str | None) -> str:
    """The range as pip has it: ``>=2.0,<2.1``."""
    bounds = (('>=', lowest), ('<', below))
    return ','.join(f'{sign}{bound}' for sign, bound in bounds if bound)


@dataclass(frozen=True)
class Range:
    """Versions of a distribution, as pyproject.toml has them.

    Attributes:
        lowest: The first that will do.
        below: The first that won't; None where none is known.
        outside: Status of a version that is not in the range.
        missing: Status where it is not installed; None if nothing is said then.
        why: What needs it, after "for".
    """

    lowest: str
    below: str | None
    outside: str
    missing: str | None
    why: str


RANGES = {
    # The first whose weights_only loader takes an allow-list of (object, name) pairs.
    'torch': Range('2.6', None, ERROR, ERROR, 'checkpoints of mmengine load safely'),
    'torchvision': Range('0.21', None, ERROR, ERROR, 'the operators of mmcv-lite-ops'),
    'mmengine': Range('0.10.4', '0.11', ERROR, ERROR, 'everything here'),
    'numpy': Range('1.23', None, ERROR, ERROR, 'everything here'),
    'timm': Range('1.0', None, WARNING, WARNING, 'plugin.TIMMBackbone'),
    'safetensors': Range('0.4', None, WARNING, WARNING, 'checkpoints of timm'),
    'mmdet': Range('3.3', '3.4', WARNING, None, 'plugin.det, plugin.yolo'),
    'mmsegmentation': Range('1.2', '1.3', WARNING, None, 'plugin.seg'),
    'mmyolo': Range('0.6', '0.7', WARNING, None, 'plugin.yolo'),
    'mmpretrain': Range('1.2', '1.3', WARNING, None, 'plugin.cls'),
}


def requirement(distribution: str) -> str:
    """A distribution with its versions, as pip takes it."""
    entry = RANGES[distribution]
    return f'{distribution}{in_words(entry.lowest, entry.below)}'


def ranges(environment: Environment) -> Iterator[Finding]:
    """One finding for each distribution of the table."""
    for distribution, entry in RANGES.items():
        version = environment.version(distribution)
        expected = in_words(entry.lowest, entry.below)
        if version and is_within(version, entry.lowest, entry.below):
            yield Finding(distribution, OK, version, expected)
            continue
        status = entry.outside if version else entry.missing
        if status is not None:
            wanted = [requirement(distribution)]
            if distribution == 'torch':
                # Of one release, or neither works.
                wanted.append(requirement('torchvision'))
            yield Finding(
                distribution,
                status,
                version or 'not installed',
                f'{expected} for {entry.why}',
                pip_install(*wanted),
            )


LOWEST = (3, 10)


def python_version(environment: Environment) -> Iterator[Finding]:
    """Its version."""
    found, expected = platform.python_version(), '>={}.{}'.format(*LOWEST)
    if sys.version_info >= LOWEST:
        yield Finding('Python', OK, found, expected)
    else:
        fix = 'python{}.{} -m venv .venv'.format(*LOWEST)
        yield Finding('Python', ERROR, found, expected, fix)


_BOUND = re.compile(r'(==|>=)\s*([\w.]+)')


def torch_pair(environment: Environment) -> Iterator[Finding]:
    """What torchvision's own metadata demand of torch."""
    torch = environment.version('torch')
    asked = environment.requirement('torchvision', 'torch')
    bound = _BOUND.search(asked or '')
    if torch is None or bound is None:
        return
    sign, version = bound.groups()
    fits = (
        sort_key(torch) == sort_key(version)
        if sign == '=='
        else is_within(torch, version, None)
    )
    name, expected = 'torchvision wants torch', f'{sign}{version}'
    if fits:
        yield Finding(name, OK, torch, expected)
    else:
        fix = pip_install('--upgrade', requirement('torch'), requirement('torchvision'))
        yield Finding(name, ERROR, torch, expected, fix)


def torch_build(environment: Environment) -> Iterator[Finding]:
    """CUDA: what torch was built for, and what is there."""
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
    """Whether this machine has an NVIDIA driver."""
    return Path('/proc/driver/nvidia/version').exists() or bool(
        shutil.which('nvidia-smi')
    )
