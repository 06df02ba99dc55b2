"""What the libraries import without requiring it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from plugin.doctor.commands import pip_install
from plugin.doctor.environment import Environment
from plugin.doctor.finding import ERROR, OK, WARNING, Finding
from plugin.doctor.versions import in_words, is_within


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
