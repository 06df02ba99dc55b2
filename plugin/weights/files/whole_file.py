"""A file that appears under its name whole or not at all.

It is written under a hidden name beside it first. What a killed process has left under
such a name, the next one that wants the same file removes.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(out: Path, replace: bool) -> Iterator[Path]:
    """Write a hidden sibling of ``out`` and give it the name at the end.

    On any exception, Ctrl-C included, the sibling is removed and ``out`` stays as it
    was. A symbolic link stays one; what it leads to is written.

    Args:
        out: The file to make. Its folder is made.
        replace: Whether what has the name goes. Otherwise a second file of the name is
            an error, also if it has come while this one was written.

    Yields:
        The path to write, an empty file with the suffix of ``out``.

    Raises:
        OSError: It is there already, or can't be written.
    """
    if not replace and os.path.lexists(out):
        raise there_already(out)
    target = out.resolve() if out.is_symlink() else out
    target.parent.mkdir(parents=True, exist_ok=True)
    for path in {out, target}:
        for leftover, role in list(leftovers(path)):
            if role == 'partial':
                leftover.unlink(missing_ok=True)
    partial = sibling(target, 'partial', target.suffix)
    try:
        with partial.open('xb') as file:
            mode = os.fstat(file.fileno()).st_mode
        yield partial
        os.chmod(partial, mode)  # safetensors writes files that only their owner reads.
        if replace:
            partial.replace(target)
        else:
            _name_new(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def there_already(out: Path) -> FileExistsError:
    """Return the error for an ``out`` that exists and may not be overwritten."""
    return FileExistsError(17, 'is already there; --force replaces it', str(out))


def _name_new(partial: Path, target: Path) -> None:
    """Give ``partial`` a name that nothing has; of two that try, one gets an error."""
    try:
        os.link(partial, target)
        return
    except FileExistsError:
        raise there_already(target) from None
    except OSError:
        pass  # A file system without hard links.
    try:
        target.open('xb').close()
    except FileExistsError:
        raise there_already(target) from None
    partial.replace(target)


def sibling(path: Path, role: str, suffix: str = '') -> Path:
    """Return a hidden name beside ``path`` that nobody else has."""
    own = f'{_host()}-{os.getpid()}-{secrets.token_hex(4)}'
    return path.with_name(f'.{path.name}.{own}.{role}{suffix}')


def leftovers(path: Path) -> Iterator[tuple[Path, str]]:
    """Return what processes of this machine that are no more have left beside ``path``.

    Yields:
        Names that :func:`sibling` has made, each with its role.
    """
    if os.name != 'posix':
        return  # Only there does signal 0 ask whether a process lives.
    start = f'.{path.name}.{_host()}-'
    for leftover in path.parent.iterdir():
        if not leftover.name.startswith(start):
            continue
        process, _, role = leftover.name.removeprefix(start).partition('.')
        role = role.partition('.')[0]
        try:
            os.kill(int(process.partition('-')[0]), 0)
        except ProcessLookupError:
            yield leftover, role
        except (ValueError, OverflowError, OSError):
            continue


def _host() -> str:
    return socket.gethostname().replace('-', '_') or 'localhost'
