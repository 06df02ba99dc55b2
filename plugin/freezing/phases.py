"""The phases of a training in which ever fewer stages are frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from plugin.freezing.frozen_stages import Freeze, StageFreezer


@dataclass(frozen=True)
class Phase:
    """What is frozen from ``begin`` on, and what was released there."""

    begin: int
    freeze: Freeze
    released: frozenset[str]


def check_milestones(milestones: Sequence[tuple], unit: str) -> None:
    """Raise ValueError for a milestone that is negative, repeated or no number."""
    begins = [begin for begin, _ in milestones]
    if any(type(begin) is not int or begin < 0 for begin in begins) or len(
        set(begins)
    ) < len(begins):
        raise ValueError(
            f'the {unit} milestones are {begins}; each must be a whole number from 0, '
            'and none may be there twice'
        )


def plan_phases(
    freezer: StageFreezer,
    first: Freeze,
    milestones: Sequence[tuple[int, int | None]],
    unit: str,
) -> list[Phase]:
    """Phases from the start on, ascending.

    Args:
        freezer: The backbone.
        first: What is frozen until the first milestone.
        milestones: Ascending pairs of a begin and a ``frozen_stages``; None is the
            value at which the class freezes nothing.
        unit: What begins are counted in: epoch or iteration.

    Raises:
        ValueError: A milestone releases nothing, or the class does not take its value.
    """
    phases = [Phase(0, first, frozenset())]
    for begin, stages in milestones if first.params else ():
        before = phases[-1].freeze
        freeze = freezer.at(freezer.nothing if stages is None else stages)
        if not freeze.params < before.params:
            raise ValueError(
                f'frozen_stages={freeze.stages} after {count(begin, unit)} releases '
                f'nothing in {freezer.label}, which has frozen_stages={before.stages} '
                'until then; each milestone must freeze fewer stages than the one '
                f'before ({freezer.nothing} freezes nothing)'
            )
        phases.append(Phase(begin, freeze, before.params - freeze.params))
    return phases


def count(number: int, unit: str) -> str:
    """``1 epoch``, ``2 epochs``."""
    return f'{number} {unit}{"" if number == 1 else "s"}'
