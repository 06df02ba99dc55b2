"""Channels, levels and strides: what neck and heads say of the backbone's maps."""

from __future__ import annotations

from collections.abc import Iterator

from plugin.check.checked_config import CheckedConfig
from plugin.check.rule import Rule
from plugin.check.rules.maps.fixes import fix_of
from plugin.config.problem import ERROR, Fix, Problem
from plugin.spec import LEVELS, STRIDES, Mismatch, mismatches

# Arguments that say which maps are taken.
CHOICES = ('out_indices', 'in_index', 'start_level')


def maps(checked: CheckedConfig) -> Iterator[Problem]:
    """Compare the slots of the config with what its backbone gives.

    Each mistake is fixed before the next one is looked for: what follows from it is
    none of its own.
    """
    told: set[str] = set()
    while True:
        wrong = [w for w in wrong_slots(checked) if w.slot.key not in told]
        if not wrong:
            return
        told.add(wrong[0].slot.key)
        fix, checked = fix_of(wrong[0], checked, wrong_slots)
        yield _problem(wrong[0], fix)
        if not fix and wrong[0].kind == LEVELS:
            return  # What else does not fit is for the maps that are not fixed.


def wrong_slots(checked: CheckedConfig) -> list[Mismatch]:
    """The places of a config that don't say what its backbone gives."""
    return [] if checked.spec is None else mismatches(checked.slots, checked.spec)


def _problem(wrong: Mismatch, fix: Fix) -> Problem:
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
    return Problem(
        slot.key,
        wrong.kind,
        ERROR,
        found,
        right,
        fix,
        unknown='' if fix else slot.key,
        safe=_only_follows(wrong, fix),
    )


def _only_follows(wrong: Mismatch, fix: Fix) -> bool:
    """Whether a fix writes what the maps are, and does not choose other maps."""
    if wrong.kind == LEVELS and wrong.slot.kind == STRIDES:
        return False  # Levels of anchors are left out, or added.
    return not any(edit.path.endswith(CHOICES) for edit in fix)


RULE = Rule(
    name='maps',
    finds='Channels, numbers of maps or strides in neck and heads that are not those of'
    ' the backbone.',
    why='Training stops at the first image, or, where only strides are wrong, trains '
    'with anchors of the wrong size.',
    example="_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"
    "custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)\n"
    'model = dict(\n'
    "    backbone=dict(_delete_=True, type='plugin.ConvNeXt', arch='tiny'),\n"
    ')',
    fix='Write what the backbone gives, which is safe. To take other maps '
    '(`out_indices`, `in_index`, `start_level`) or other levels of anchors is '
    'unsafe.',
    look=maps,
    first=True,
)
