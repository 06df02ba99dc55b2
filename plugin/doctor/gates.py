"""The versions that the OpenMMLab packages demand of each other when imported."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from plugin.doctor.commands import install_mmcv, pip_install, pip_uninstall
from plugin.doctor.environment import Environment, constants
from plugin.doctor.finding import ERROR, OK, Finding
from plugin.doctor.ranges import requirement
from plugin.doctor.versions import in_words, is_within

LIBRARIES = {
    'mmdet': 'mmdet',
    'mmseg': 'mmsegmentation',
    'mmyolo': 'mmyolo',
    'mmpretrain': 'mmpretrain',
}
"""Distribution by import name."""

# mmcv_minimum_version in mmdet 3.3, mmyolo 0.6 and mmpretrain 1.2; MMCV_MIN in mmseg.
_BOUND = re.compile(r'(mmcv|mmengine|mmdet)_(min|max)(?:imum)?(?:_version)?', re.I)


def gates(environment: Environment) -> Iterator[Finding]:
    """One finding for each package that a library sets bounds for."""
    for library in LIBRARIES:
        folder = environment.folder(library)
        for subject, bounds in bounds_in(folder).items() if folder else ():
            yield _gate(environment, library, subject, bounds)


def bounds_in(folder: Path) -> Mapping[str, tuple[str | None, str | None]]:
    """(lowest, the first too new) by package, from the source of a library.

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


def _gate(
    environment: Environment,
    library: str,
    subject: str,
    bounds: tuple[str | None, str | None],
) -> Finding:
    name, expected = f'{library} wants {subject}', in_words(*bounds)
    # What the gate itself looks at.
    version = environment.module_version(subject) or environment.version(subject)
    if version and is_within(version, *bounds):
        return Finding(name, OK, version, expected)
    fix = pip_install(requirement(subject)) if subject != 'mmcv' else install_mmcv()
    if subject == 'mmcv' and environment.version('mmcv'):
        fix = f'{pip_uninstall("mmcv")} && {fix}'
    return Finding(name, ERROR, version or 'not installed', expected, fix)
