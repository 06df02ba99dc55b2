"""Messages on a file that is not loaded, in text that a terminal can show."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable


class CheckpointError(ValueError):
    """A checkpoint can't be loaded, or holds what no checkpoint of weights needs.

    Its text is one line, whatever a file has put into it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class DamagedFile(Exception):
    """A file can't be read; the text is the end of a sentence about it."""


FILE = '\0file\0'
"""Stands in the text of a ``DamagedFile`` for its name, as it is typed."""


def sentence_about(
    name: object, error: DamagedFile, path: str | os.PathLike | None = None
) -> str:
    """Return the sentence that reports an error of a file.

    Args:
        name: What the user has called it.
        error: The end of the sentence.
        path: Where it is, if its name is not that.
    """
    text = str(error).replace(FILE, shlex.quote(printable(path or name)))
    return f'{name} {text}'


def check_holds_weights(checkpoint: object, filename: str) -> None:
    """Raise CheckpointError unless it is a dict, which may hold weights by name."""
    if not isinstance(checkpoint, dict):
        kind = type(checkpoint).__name__
        raise CheckpointError(f'{filename} holds a {kind}, not a dict of weights')


def printable(text: object) -> str:
    r"""``text`` with escapes in the place of what a terminal would not show as it is.

    Names in a file are its writer's: control characters move the cursor or set the
    title, marks of direction turn the rest of a line round, and half of a surrogate
    pair can't be encoded. Each becomes ``\x1b``, ``\u202e``, ``\ud800``.
    """
    text = str(text)
    if text.isprintable():
        return text
    return ''.join(
        c if c.isprintable() else c.encode('unicode_escape').decode() for c in text
    )


def described(value: object) -> str:
    """Return a short text for a value from a file.

    A few tuples in one another, each twice, have a ``repr`` longer than any memory.
    """
    if value is None or type(value) in (bool, int, float):
        return repr(value)
    if type(value) in (str, bytes) and len(value) <= 200:
        return repr(value)
    return f'a {type(value).__name__}'


def shortened(names: Iterable[str], most: int = 10, longest: int = 200) -> str:
    """Return names in a row, cut where they are too many or too long to show."""
    names = list(names)
    shown = [n if len(n) <= longest else f'{n[:longest]}...' for n in names[:most]]
    more = f' and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(shown) + more


def refused(names: Iterable[str]) -> DamagedFile:
    """Return the answer to a file that asks for objects other than weights."""
    return DamagedFile(
        f'is refused: it asks for {shortened(names)}. A checkpoint needs weights, '
        'numbers and text alone, and loading anything else can run any code. '
        "Don't use it unless you know who made it. Its weights alone, without running "
        f'anything: `python -m plugin convert {FILE} plain.pth --plain`. Classes of '
        'your own that only hold data can be listed with '
        'torch.serialization.add_safe_globals in a module of custom_imports'
    )
