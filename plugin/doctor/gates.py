"""The versions that the OpenMMLab packages demand of each other when imported."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from plugin.doctor.environment import Environment, constants
from plugin.doctor.finding import (
    ERROR,
    OK,
    WARNING,
    Finding,
    install_mmcv,
    pip_install,
    pip_uninstall,
)
from plugin.doctor.versions import in_words, is_within, requirement

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


@dataclass(frozen=True)
class Companion:
    """A distribution that a library needs.

    Attributes:
        library: Import name of the library; nothing is said where it is not there.
        lowest: The first version that will do; None for any.
        below: The first that won't.
        status: Without it, or outside of these versions.
        why: What needs it, after "for".
    """

    library: str
    lowest: str | None
    below: str | None
    status: str
    why: str


COMPANIONS = {
    'ftfy': Companion('mmseg', None, None, ERROR, 'import mmseg.models'),
    'regex': Companion('mmseg', None, None, ERROR, 'import mmseg.models'),
    'albumentations': Companion(
        'mmyolo', '2.0.8', '2.1', WARNING, "the pipelines of mmyolo's YOLOv5"
    ),
    'openmim': Companion('mmengine', '0.3.9', None, WARNING, 'mim train'),
}


def companions(environment: Environment) -> Iterator[Finding]:
    """One finding for each whose library is there."""
    for distribution, entry in COMPANIONS.items():
        if environment.folder(entry.library) is None:
            continue
        bounds = in_words(entry.lowest, entry.below)
        version = environment.version(distribution)
        if version and is_within(version, entry.lowest, entry.below):
            yield Finding(distribution, OK, version, bounds or None)
        else:
            yield Finding(
                distribution,
                entry.status,
                version or 'not installed',
                f'{bounds or "any version"} for {entry.why}',
                pip_install(f'{distribution}{bounds}'),
            )


def setuptools_gate(environment: Environment) -> Iterator[Finding]:
    """Whether there is one."""
    version = environment.version('setuptools') or 'not installed'
    if environment.folder('pkg_resources') is not None:
        yield Finding('setuptools', OK, f'{version}, with pkg_resources', '<81')
        return
    yield Finding(
        'setuptools',
        ERROR,
        f'{version}, without pkg_resources, so mim and names like mmdet::... fail',
        '<81',
        pip_install('setuptools<81'),
    )


# From this version on mmpretrain 1.2.0 does it (mmpretrain/utils/dependency.py), and
# mmdet imports mmpretrain where it is.
_TAKEN_FROM = '4.28.0'


def transformers_clash(environment: Environment) -> Iterator[Finding]:
    """Nothing where one of the two is not installed."""
    version = environment.version('transformers')
    if not version or environment.folder('mmpretrain') is None:
        return
    name, expected = 'transformers', f'none beside mmpretrain, or <{_TAKEN_FROM}'
    if not is_within(version, _TAKEN_FROM, None):
        yield Finding(name, OK, version, expected)
        return
    reason = environment.probes['mmpretrain.models'].reason
    if reason is None:
        yield Finding(name, OK, f'{version}, and mmpretrain imports all the same')
        return
    yield Finding(
        name,
        ERROR,
        f'{version}, with which `import mmpretrain.models` fails, and with it '
        f'`import mmdet.models`: {reason}',
        expected,
        pip_uninstall('transformers'),
    )
