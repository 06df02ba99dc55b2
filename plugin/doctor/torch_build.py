"""Whether torch runs, and whether it finds a GPU."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from plugin.doctor.commands import pip_install
from plugin.doctor.environment import Environment
from plugin.doctor.finding import ERROR, OK, WARNING, Finding
from plugin.doctor.ranges import requirement


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
