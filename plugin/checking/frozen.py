"""What a config freezes in its backbone, and how to write that nothing is."""

from __future__ import annotations

from plugin.checking.problem import assign
from plugin.checking.subject import Subject
from plugin.freezing.frozen_stages import NO_SUCH_STAGE, StageFreezer


def freezer_of(subject: Subject) -> StageFreezer | None:
    """The stages of the backbone; None if it has none that freeze."""
    if subject.backbone is None:
        return None
    try:
        return StageFreezer(subject.backbone, subject.backbone_key)
    except (*NO_SUCH_STAGE, ValueError):
        return None


def thawed(subject: Subject) -> list[str]:
    """The statements by which all of the backbone trains, as random weights must."""
    key, freezer = subject.backbone_key, freezer_of(subject)
    statements = []
    if freezer is not None and freezer.configured.params:
        statements.append(assign(f'{key}.frozen_stages', freezer.nothing))
        if getattr(subject.backbone, 'norm_eval', False):
            statements.append(assign(f'{key}.norm_eval', False))
    return statements
