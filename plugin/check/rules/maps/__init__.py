"""Channels, numbers and strides of the backbone's feature maps in neck and heads."""

from __future__ import annotations

from collections.abc import Iterator

from plugin.check.checked_config import CheckedConfig
from plugin.check.rule import Rule
from plugin.check.rules.maps.fixes import fix_of
from plugin.config.problem import ERROR, Fix, Problem
from plugin.spec import LEVELS, STRIDES, Mismatch, entry, mismatches

# Arguments that say which maps are taken.
CHOICES = ('out_indices', 'in_index', 'start_level')


def maps(checked: CheckedConfig) -> Iterator[Problem]:
    """Compare the slots of the config with what its backbone gives.

    Each mistake is fixed before the next one is looked for, so that what only follows
    from it is not reported.
    """
    reported: set[str] = set()
    while True:
        wrong = [w for w in wrong_slots(checked) if w.slot.key not in reported]
        if not wrong:
            return
        reported.add(wrong[0].slot.key)
        fix, fixed = fix_of(wrong[0], checked, wrong_slots)
        yield _problem(wrong[0], fix, checked)
        if not fix and wrong[0].kind == LEVELS:
            return  # The other numbers depend on which maps are taken.
        checked = fixed


def wrong_slots(checked: CheckedConfig) -> list[Mismatch]:
    """Return the places of a config that do not match what its backbone gives."""
    return [] if checked.spec is None else mismatches(checked.slots, checked.spec)


def _problem(wrong: Mismatch, fix: Fix, checked: CheckedConfig) -> Problem:
    slot = wrong.slot
    found, right = slot.written, list(wrong.expected)
    count = len(checked.spec.channels) if slot.given is None else slot.given
    missing = [i for i in slot.maps or () if i not in range(-count, count)]
    if missing and wrong.kind == LEVELS and right == list(range(count)):
        giver = 'backbone' if slot.given is None else 'neck'
        if 'neck' in slot.key:
            found = f'{found}, but the {giver} returns {count} feature maps'
            right = f'channels of {count} feature maps'
        else:
            found = f'in_index has {missing[0]}, but the {giver} returns {count} '
            found += f'feature map{"" if count == 1 else "s"}'
            right = f'indices from 0 to {count - 1}'
    elif slot.factor_key and slot.effective != tuple(right):
        name = slot.factor_key.rpartition('.')[2]
        factor = entry(checked.model, slot.factor_key)
        found = f'{found}; times {name}={factor} this is {list(slot.effective)}'
        right = f'{right} once multiplied by {name}'
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
    """Return whether a fix writes what the maps are, and chooses no other maps."""
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
