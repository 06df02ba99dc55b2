"""Comparing version numbers, without a package for it."""

from __future__ import annotations

import re

_STAGES = {'dev': -4, 'a': -3, 'alpha': -3, 'b': -2, 'beta': -2, 'rc': -1, 'post': 1}
_VERSION = re.compile(r'v?(\d+(?:\.\d+)*)(?:[-_.]?([a-z]+)[-_.]?(\d*))?')


def sort_key(version: str) -> tuple[int, ...]:
    """Ascends with the version: ``2.0.0rc4`` < ``2.0`` == ``2.0.0`` < ``2.0.1``.

    A local part (``2.6.0+cu124``) doesn't count.
    """
    match = _VERSION.match(version.lower())
    if match is None:
        return (0, 0, 0, 0, 0, 0)
    numbers = [int(part) for part in match[1].split('.')][:4]
    numbers += [0] * (4 - len(numbers))
    return (*numbers, _STAGES.get(match[2] or '', 0), int(match[3] or 0))


def is_within(version: str, lowest: str | None, below: str | None) -> bool:
    """Whether ``lowest`` <= ``version`` < ``below``."""
    key = sort_key(version)
    return (lowest is None or sort_key(lowest) <= key) and (
        below is None or key < sort_key(below)
    )


def in_words(lowest: str | None, below: str | None) -> str:
    """The range as pip has it: ``>=2.0,<2.1``."""
    bounds = (('>=', lowest), ('<', below))
    return ','.join(f'{sign}{bound}' for sign, bound in bounds if bound)
