"""A folder that appears under its name whole or not at all."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(out_dir: Path) -> Iterator[Path]:
    """Fill a hidden sibling of ``out_dir`` and give it the name at the end.

    What had the name before goes only then. On any exception, Ctrl-C included, the
    sibling is removed and ``out_dir`` stays as it was; what a killed process has left
    behind is removed by the next one that wants the same name.

    Args:
        out_dir: The folder to make or replace. Its parents are made.

    Yields:
        The empty folder to fill.

    Raises:
        OSError: A folder can't be made or renamed.
    """
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    _sweep_leftovers(out_dir)
    partial = _sibling(out_dir, 'partial')
    partial.mkdir()
    try:
        yield partial
        _publish(partial, out_dir)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _sibling(out_dir: Path, role: str) -> Path:
    """A hidden name beside ``out_dir`` that belongs to this process."""
    return out_dir.parent / f'.{out_dir.name}.{_host()}-{os.getpid()}.{role}'


def _host() -> str:
    return socket.gethostname().replace('-', '_') or 'localhost'


def _sweep_leftovers(out_dir: Path) -> None:
    if os.name != 'posix':
        return  # Only there does signal 0 ask whether a process lives.
    start = f'.{out_dir.name}.{_host()}-'
    for leftover in out_dir.parent.iterdir():
        name = leftover.name
        if not (name.startswith(start) and name.endswith('.partial')):
            continue
        try:
            os.kill(int(name.removeprefix(start).removesuffix('.partial')), 0)
        except ProcessLookupError:
            shutil.rmtree(leftover, ignore_errors=True)
        except (ValueError, OSError):
            continue


def _publish(partial: Path, out_dir: Path) -> None:
    if not out_dir.exists():
        partial.rename(out_dir)
        return
    replaced = _sibling(out_dir, 'replaced')
    out_dir.rename(replaced)
    try:
        partial.rename(out_dir)
    except OSError:
        replaced.rename(out_dir)
        raise
    shutil.rmtree(replaced, ignore_errors=True)
