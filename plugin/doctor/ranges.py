"""The versions that this project needs, and those that it was tried with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from plugin.doctor.commands import pip_install
from plugin.doctor.environment import Environment
from plugin.doctor.finding import ERROR, OK, WARNING, Finding
from plugin.doctor.versions import in_words, is_within


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
