"""Channels, levels and strides: what neck and heads say of the backbone's maps."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

from plugin.checking.map_fixes import fix_of
from plugin.checking.model_defaults import with_defaults
from plugin.checking.problem import ERROR, UNKNOWN, Problem
from plugin.checking.subject import TASKS, Subject
from plugin.wiring import LEVELS, Disagreement, disagreements


def maps(subject: Subject) -> Iterator[Problem]:
    """Compare the slots of the config with what its backbone gives.

    Each mistake is mended before the next one is looked for: what follows from it is
    none of its own.
    """
    if subject.spec is None or subject.scope not in TASKS:
        return
    told: set[str] = set()
    while True:
        wrong = [w for w in wrong_slots(subject) if w.slot.key not in told]
        if not wrong:
            return
        told.add(wrong[0].slot.key)
        fix, subject = fix_of(wrong[0], subject, wrong_slots)
        yield _problem(wrong[0], fix)
        if fix.endswith(UNKNOWN) and wrong[0].kind == LEVELS:
            return  # What else does not fit is for the maps that are not mended.


def wrong_slots(subject: Subject) -> list[Disagreement]:
    """The places of a config that don't say what its backbone gives."""
    if subject.spec is None:
        return []
    slots = import_module(f'plugin.{TASKS[subject.scope]}.wiring').slots
    return disagreements(slots(with_defaults(subject)), subject.spec)


def _problem(wrong: Disagreement, fix: str) -> Problem:
    slot = wrong.slot
    found, right = slot.written, list(wrong.expected)
    if wrong.kind == LEVELS and slot.maps and slot.kind != 'strides' and not slot.fixed:
        if max(slot.maps) >= len(right):
            # Not the channels are wrong, but which maps they are about.
            found = f'{found} of the maps {list(slot.maps)}'
            right = f'maps among {right}'
    elif slot.factor_key and slot.effective != tuple(right):
        right = f'{right}, after {slot.factor_key.rpartition(".")[2]}'
        found = f'{found}, which makes {list(slot.effective)}'
    return Problem(slot.key, wrong.kind, ERROR, found, right, fix)
