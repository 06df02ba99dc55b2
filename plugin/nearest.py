"""Names that are nearest to one that is not there. Imports nothing of ours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from os.path import commonprefix

CLOSE = 0.6
"""Likeness from which on a name may well have been meant by another."""

# What is as alike as `norm_evall` and `norm_eval`, with nothing else near, is a typo.
_TYPO, _APART = 0.85, 0.03


def likeness(one: str, other: str) -> float:
    """Return how alike two names are: 0 for nothing in common, 1 for the same.

    Upper and lower case count as the same, and so do ``-`` and ``_``.
    """
    return SequenceMatcher(None, _plain(other), _plain(one)).ratio()


def nearest(
    name: str, candidates: Iterable[str], count: int = 3, at_least: float = 0.0
) -> list[str]:
    """Return the candidates that are most like ``name``, the nearest first.

    Of several that are as near, the one that begins like it.

    Args:
        name: What was written.
        candidates: The names that there are.
        count: How many to return, at most.
        at_least: Leave out what is less alike, such as ``CLOSE``.
    """
    # difflib keeps what it knows of the second sequence.
    matcher = SequenceMatcher(None, '', _plain(name))
    scores: dict[str, tuple[float, int]] = {}
    for candidate in candidates:
        matcher.set_seq1(_plain(candidate))
        # The first is an upper bound of the second, and quick.
        if matcher.quick_ratio() >= at_least and matcher.ratio() >= at_least:
            same = commonprefix([_plain(name), _plain(candidate)])
            scores[candidate] = matcher.ratio(), len(same)
    return sorted(scores, key=scores.__getitem__, reverse=True)[:count]


def is_typo(name: str, near: Sequence[str]) -> bool:
    """Return whether a name can only mean the first of those that are nearest to it.

    Args:
        name: As it is written.
        near: Names that are there, nearest first; none if nothing is near.
    """
    first, *others = [likeness(n, name) for n in near] or [0.0]
    return first >= _TYPO and all(other <= first - _APART for other in others)


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Return ``'; did you mean a or b?'``, to end a message; empty if none is close."""
    found = nearest(name, candidates, at_least=CLOSE)
    return f'; did you mean {" or ".join(found)}?' if found else ''


def _plain(name: str) -> str:
    return name.lower().replace('-', '_')
