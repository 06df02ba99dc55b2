"""The objects that a pickle asks for, read without unpickling it."""

from __future__ import annotations

import pickletools
from typing import BinaryIO

from plugin.weights.files.upstream import todays_name

# torch's format before 1.6 is five pickles: a magic number, the version, the machine,
# the contents, and the names of the storages that follow.
_MOST_PICKLES = 5


def pickled_names(file: BinaryIO) -> list[str]:
    """Modules and names of the objects that pickles in a row ask for, sorted.

    Protocol 2 writes names of Python 2, such as ``__builtin__.eval``; these are given
    as today's.

    Args:
        file: At the beginning of the first pickle. What is no pickle ends the reading.
    """
    names: set[tuple[str, str]] = set()
    for _ in range(_MOST_PICKLES):
        if not _collect(file, names):
            break
    return sorted('.'.join(todays_name(*name)) for name in names)


def _collect(file: BinaryIO, names: set[tuple[str, str]]) -> bool:
    """Add what one pickle asks for; False if it does not come to its end."""
    memo: dict[int, str | None] = {}
    strings: list[str] = ['', '']  # The last two; a name of protocol 4 is a pair.
    latest: str | None = None  # What the last opcode has pushed, if it is a text.
    try:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name == 'MEMOIZE':
                memo[len(memo)] = latest
                continue
            if opcode.name in ('PUT', 'BINPUT', 'LONG_BINPUT'):
                memo[argument] = latest
                continue
            latest = argument if isinstance(argument, str) else None
            if opcode.name in ('GLOBAL', 'INST'):
                module, _, name = argument.partition(' ')
                names.add((module, name))
            elif opcode.name == 'STACK_GLOBAL':
                names.add((strings[0], strings[1]))
            elif opcode.name in ('GET', 'BINGET', 'LONG_BINGET'):
                latest = memo.get(argument)
            if latest is not None:
                strings = [strings[1], latest]
    except (ValueError, EOFError, LookupError, MemoryError, OverflowError):
        return False  # It ends early, or is no pickle from here on.
    return True
