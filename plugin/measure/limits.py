"""Bounds of memory and time for what is run to see whether it runs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import resource
except ImportError:  # Windows has none.
    resource = None

GIB = 1 << 30


class TookTooLong(BaseException):
    """Time is up. No ``Exception``: code that swallows those shall not swallow it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise :class:`TookTooLong` in what takes longer.

    It interrupts Python code, between two operations of torch. In another thread than
    the main one, and on systems without ``SIGALRM``, there is no limit; neither is
    there one inside another limit, which counts on.
    """
    able = hasattr(signal, 'setitimer') and (
        threading.current_thread() is threading.main_thread()
    )
    if not able or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise TookTooLong(f'more than {seconds:g} s')

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def memory_limit(size: int) -> Iterator[None]:
    """Let allocations of more than ``size`` bytes in all fail.

    torch and Python raise then, as :func:`is_out_of_memory` knows; nothing is killed.
    Only on Linux, elsewhere there is no limit.

    Args:
        size: Beyond what the process has by now. Less where the machine has less.
    """
    used = _virtual_size()
    if resource is None or used is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    # A shared library takes address space too, which is not memory yet.
    limit = used + max(min(size, _available()), _LIBRARIES)
    if soft != resource.RLIM_INFINITY:
        limit = min(limit, soft)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


_LIBRARIES = 2 * GIB

# As torch says it; the last one of sizes that no number of bytes can have.
_NO_MEMORY = ("can't allocate memory", 'bad_alloc', 'overflow')


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that there was no memory left."""
    text = str(error)
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)
    )


def _virtual_size() -> int | None:
    """Bytes of address space that this process has."""
    try:
        pages = int(Path('/proc/self/statm').read_text('ascii').split()[0])
    except OSError:
        return None
    return pages * resource.getpagesize() if resource else None


def _available() -> int:
    """Bytes that the machine has left."""
    try:
        lines = Path('/proc/meminfo').read_text('ascii').splitlines()
    except OSError:
        return 1 << 62
    for line in lines:
        if line.startswith('MemAvailable:'):
            return int(line.split()[1]) * 1024
    return 1 << 62
