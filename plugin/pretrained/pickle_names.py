"""What a bare pickle would call, read without unpickling it."""

from __future__ import annotations

import pickletools
from pathlib import Path

_MOST_BYTES = 1 << 26


def names_in_pickle(path: Path) -> list[str]:
    """Modules and names of the objects that a pickle asks for, sorted.

    torch's safe loader stops at the protocol of a bare pickle, before it comes to a
    name.

    Args:
        path: A file that is one pickle. Of a long one the beginning is read.
    """
    with path.open('rb') as file:
        contents = file.read(_MOST_BYTES)
    names = set()
    memo: dict[int, str | None] = {}
    strings: list[str] = []
    latest: str | None = None  # What the last opcode has pushed, if it is a text.
    try:
        for opcode, argument, _ in pickletools.genops(contents):
            if opcode.name == 'MEMOIZE':
                memo[len(memo)] = latest
                continue
            latest = argument if isinstance(argument, str) else None
            if opcode.name == 'GLOBAL':
                names.add(argument.replace(' ', '.'))
            elif opcode.name == 'STACK_GLOBAL' and len(strings) >= 2:
                names.add('.'.join(strings[-2:]))
            elif opcode.name in ('BINGET', 'LONG_BINGET'):
                latest = memo.get(argument)
            if latest is not None:
                strings.append(latest)
    except ValueError:
        pass  # It ends early, or is no pickle from here on.
    return sorted(names)
