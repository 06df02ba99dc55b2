"""A copy of a user's config that can be written and loaded, in their surroundings."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.config import Config

from plugin.config.bases import read_source
from plugin.config.problem import NotAConfig
from plugin.config.reading import load


class Workbench:
    """A copy of a config's file, in a place from where its bases are found.

    The user's folder is not written to. Names and paths in the config lead where they
    led; only what a config asks of its own path is another.

    Args:
        path: The config's file.
        folder: An empty folder for the copy.

    Attributes:
        path: Where the copy is.
    """

    def __init__(self, path: Path, folder: Path) -> None:
        self.path = _mirrored(path, folder)
        self._loaded: dict[bytes, Config | None] = {}

    def write(self, contents: bytes) -> None:
        """Put a text there."""
        self.path.write_bytes(contents)

    def load(self, contents: bytes) -> Config | None:
        """Load the config that a text is, not to be changed; None if it is none."""
        if contents not in self._loaded:
            self.write(contents)
            try:
                self._loaded[contents] = load(self.path)
            except Exception:
                # Whatever a config's own code raises.
                self._loaded[contents] = None
        return self._loaded[contents]


@contextmanager
def workbench(path: Path) -> Iterator[Workbench]:
    """A :class:`Workbench` for a config's file, taken away in the end."""
    with tempfile.TemporaryDirectory() as folder:
        yield Workbench(path.resolve(), Path(folder))


def _mirrored(path: Path, folder: Path) -> Path:
    """A place below ``folder`` whose surroundings are those of ``path``, by links."""
    upper = list(path.parents)[: _levels_up(path) + 1]
    place = folder
    for outer, inner in reversed(list(zip(upper, [path, *upper], strict=False))):
        for other in outer.iterdir():
            if other != inner:
                (place / other.name).symlink_to(other)
        place = place / inner.name
        if inner != path:
            place.mkdir()
    return place


def _levels_up(path: Path) -> int:
    """Return how many folders up the bases of a config lead."""
    try:
        source = read_source(path)
    except NotAConfig:
        return 0
    relative = [os.path.normpath(b) for b in source.bases if '::' not in b]
    levels = [Path(base).parts.count('..') for base in relative]
    return max([*levels, *(node.level - 1 for node in source.modules)], default=0)
