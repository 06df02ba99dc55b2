"""Read what a config freezes in its backbone, and write that nothing is."""

from __future__ import annotations

from plugin.check.checked_config import CheckedConfig
from plugin.config.problem import Fix, assign
from plugin.freezing.frozen_stages import NO_SUCH_STAGE, StageFreezer


def freezer_of(checked: CheckedConfig) -> StageFreezer | None:
    """Return the stages of the backbone; None if it has none that freeze."""
    if checked.backbone is None:
        return None
    try:
        return StageFreezer(checked.backbone, checked.backbone_key)
    except (*NO_SUCH_STAGE, ValueError):
        return None


def unfrozen(checked: CheckedConfig) -> list[Fix]:
    """Let all of the backbone train, as random weights must."""
    key, freezer = checked.backbone_key, freezer_of(checked)
    statements = []
    if freezer is not None and freezer.configured.params:
        statements.append(assign(f'{key}.frozen_stages', freezer.nothing))
        if getattr(checked.backbone, 'norm_eval', False):
            statements.append(assign(f'{key}.norm_eval', False))
    return statements
