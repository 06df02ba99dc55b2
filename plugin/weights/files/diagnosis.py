"""Say what is wrong with a file, as the end of a sentence about it."""

from __future__ import annotations

import errno
import io
import pickle
import pickletools
import re
import struct
import zipfile
import zlib
from collections.abc import Collection
from typing import BinaryIO

import torch

from plugin.weights.files.refusal import DamagedFile, refused
from plugin.weights.upstream import todays_name

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


# The second one is an archive without entries.
ZIP = (b'PK\x03\x04', b'PK\x05\x06')
# What cuts a file short, or changes bytes in it, shows as one of these.
_CUT = (EOFError, zipfile.BadZipFile, zlib.error, struct.error)
# Names stand in the pickle, and contents come after it.
_MOST_BYTES = 1 << 26


def check_format(file: BinaryIO) -> tuple[bool, int]:
    """Look at the first bytes of a file, and leave it at its beginning.

    Returns:
        Whether it is a zip archive, as ``torch.save`` writes, and not the pickles in a
        row that it wrote before torch 1.6; and its size.

    Raises:
        DamagedFile: It is neither.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    head = file.read(512)
    file.seek(0)
    if not size:
        raise DamagedFile('is empty (0 bytes)')
    if not head.strip(b'\0'):
        raise DamagedFile(
            f'holds nothing but zeros ({size} bytes), as a power cut or a full disk '
            'leaves a file; it has to be written or downloaded again'
        )
    if head.startswith(ZIP):
        return True, size
    if head[257:262] == b'ustar':
        raise DamagedFile(
            'is a tar archive. torch before 0.1.10 wrote checkpoints as such, and they '
            'can only be read by running what is in them, so they are not'
        )
    if not head.startswith(b'\x80'):
        raise DamagedFile(f'is not a checkpoint: it begins with {head[:40]!r}')
    if head[1:2] != b'\x02':
        # Any other protocol is not torch's.
        raise refusal(file, (), None)
    return False, size


def refusal(
    pickled: BinaryIO, allowed: Collection[str], error: pickle.UnpicklingError | None
) -> DamagedFile:
    """Return the answer to a pickle that torch's unpickler refuses.

    Args:
        pickled: The pickle, at its beginning.
        allowed: Names that it may ask for.
        error: What the unpickler has raised; None for one that it was not shown.
    """
    contents = pickled.read(_MOST_BYTES)
    names = [n for n in pickled_names(io.BytesIO(contents)) if n not in allowed]
    names = names or re.findall(r'GLOBAL (\S+)', str(error))[:1]
    if names:
        return refused(names)
    if error is None or contents[1:2] != b'\x02':
        return DamagedFile(
            'is a pickle of a kind that torch.save does not write by default; save it '
            'again with torch.save(..., pickle_protocol=2)'
        )
    return DamagedFile(f'is damaged: {_first_line(error)}')


def damage(error: Exception, size: int) -> str | None:
    """What ``error`` says of a file of ``size`` bytes; None if it is not the file's."""
    if isinstance(error, torch.OutOfMemoryError):
        return None
    if isinstance(error, OSError) and error.errno != errno.EINVAL:
        return None  # The disk's. In a file without its end zip seeks to before it.
    text = str(error)
    if 'magic number' in text:
        return 'is a bare pickle, not what torch.save writes'
    if isinstance(error, (*_CUT, OSError)) or re.search('unexpected EOF|corrupt', text):
        return f'is truncated or damaged ({size} bytes)'
    if 'deserialize object on' in text:
        return (
            'holds tensors of a device that this machine lacks; load it with '
            f"map_location='cpu' ({_first_line(error)})"
        )
    return f'is damaged: {_first_line(error)}'


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f'{type(error).__name__}: {lines[0] if lines else ""}'.removesuffix(': ')
