"""Channels, levels and strides: what neck and heads say of the backbone's maps."""

from __future__ import annotations

from collections.abc import Iterator

from plugin.checking.problem import ERROR, Problem, assign
from plugin.checking.subject import Subject
from plugin.wiring import disagreements


def maps(subject: Subject) -> Iterator[Problem]:
    """Compare the slots of the config with what its backbone gives."""
    if subject.spec is None:
        return
    for wrong in disagreements(subject.slots, subject.spec):
        slot = wrong.slot
        yield Problem(
            slot.key,
            wrong.kind,
            ERROR,
            slot.written,
            list(wrong.expected),
            assign(slot.key, wrong.expected),
        )
