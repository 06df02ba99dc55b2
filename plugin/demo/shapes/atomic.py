"""A folder that appears under its name whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plugin.weights.files.whole_file import leftovers, sibling


@contextmanager
def whole_folder(out_dir: Path) -> Iterator[Path]:
    """Fill a hidden sibling of ``out_dir`` and give it the name at the end.

    What had the name before goes only then. On any exception, Ctrl-C included, the
    sibling is removed and ``out_dir`` stays as it was. :func:`sweep` comes first.

    Args:
        out_dir: The folder to make or replace. Its parents are made.

    Yields:
        The empty folder to fill.

    Raises:
        OSError: A folder can't be made or renamed.
    """
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    sweep(out_dir)
    partial = sibling(out_dir, 'partial')
    partial.mkdir()
    try:
        yield partial
        _publish(partial, out_dir)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def sweep(out_dir: Path) -> None:
    """Remove what a killed process has left behind beside ``out_dir``.

    A folder that it had moved out of the way is put back if nothing is in its place.
    """
    if not out_dir.parent.is_dir():
        return
    for leftover, role in list(leftovers(out_dir)):
        if role == 'replaced' and not out_dir.exists():
            leftover.rename(out_dir)
        elif role in ('partial', 'replaced'):
            shutil.rmtree(leftover, ignore_errors=True)


def _publish(partial: Path, out_dir: Path) -> None:
    if not out_dir.exists():
        partial.rename(out_dir)
        return
    replaced = sibling(out_dir, 'replaced')
    out_dir.rename(replaced)
    try:
        partial.rename(out_dir)
    except OSError:
        replaced.rename(out_dir)
        raise
    shutil.rmtree(replaced, ignore_errors=True)
