"""Compare what each part of a model takes with what it gets, by running it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from torch import nn
from torch.nn.modules.conv import _ConvNd

from plugin.check.checked_config import CheckedConfig
from plugin.check.rule import Rule
from plugin.check.rules.maps import wrong_slots
from plugin.check.rules.part_inputs.fixes import ways
from plugin.check.running import modules_of_part, part_of_module
from plugin.config.problem import ERROR, Fix, Problem, both
from plugin.measure.failures import Failure, all_modules

# How many mistakes are looked for, one behind the other.
_IN_A_MODEL = 6


def part_inputs(checked: CheckedConfig) -> Iterator[Problem]:
    """Run necks, transformers and heads, and report which of them do not fit.

    Each mistake is fixed in memory before the next one is looked for.
    """
    if not checked.takes_maps or checked.built is None:
        return
    if wrong_slots(checked):
        checked.leave('what the heads take', 'the maps do not fit yet')
        return
    for _ in range(_IN_A_MODEL):
        failure = checked.parts_run.failure
        if failure is None:
            _note_what_did_not_run(checked)
            return
        problem, fixed = _problem(checked, failure)
        yield problem
        if fixed is None:
            return
        checked = fixed


def _problem(
    checked: CheckedConfig, failure: Failure
) -> tuple[Problem, CheckedConfig | None]:
    """Return the problem and the config without it; None if no fix is known."""
    part = part_of_module(checked.built, failure.path, checked.parts)
    found = _fixed(checked, failure)
    if failure.takes is not None:
        kind = 'channels'
        has = f'{failure.takes} channels for {failure.path}'
        expected = f'{failure.given} channels'
    elif found is not None:
        kind, has = 'levels', failure.text
        expected = f'{checked.parts_run.maps} maps, which the neck gives'
    else:
        kind, has = 'forward', failure.text
        expected = 'a forward on the maps of the backbone'
    if found is None:
        name = 'model' if part is None else part.key
        key = f'{name}.in_channels' if kind == 'channels' else name
        return Problem(key, kind, ERROR, has, expected, unknown=key), None
    key, statements, fixed = found
    fix = both(statements)
    return Problem(key, kind, ERROR, has, expected, fix, safe=True), fixed


def _fixed(
    checked: CheckedConfig, failure: Failure
) -> tuple[str, list[Fix], CheckedConfig] | None:
    """Return the first way after which nothing fails, else one that gets further."""
    further = None
    for key, statements in ways(checked, failure):
        fixed = checked.with_fixes(statements)
        if fixed.built is None:
            continue
        after = fixed.parts_run.failure
        if after is None:
            return key, statements, fixed
        if further is None and _is_another(after, failure):
            further = key, statements, fixed
    return further


def _is_another(after: Failure, before: Failure) -> bool:
    """Return whether another part fails, or another layer for another reason."""
    return after.path != before.path and after.text != before.text


def _note_what_did_not_run(checked: CheckedConfig) -> None:
    run = checked.parts_run
    for part in checked.parts:
        last = re.sub(r'\[\d+\]$', '', part.key).rpartition('.')[2]
        if not part.key.startswith('model.') or not last.endswith(('neck', 'head')):
            continue
        names = modules_of_part(checked.built, part, checked.parts)
        if names and not any(_ran(checked, name) for name in names):
            reason = 'what the backbone gives is not known'
            if checked.spec is not None:
                reason = run.reason or 'it runs on a real image only'
            checked.leave(part.key, reason)


def _ran(checked: CheckedConfig, name: str) -> bool:
    """Return whether a module ran, or has no layer that could fail to fit."""
    module = all_modules(checked.built)[name]
    layers = (m for m in module.modules() if isinstance(m, (_ConvNd, nn.Linear)))
    inside = (f'{name}.', name)
    return not any(True for _ in layers) or any(
        ran == name or ran.startswith(inside[0]) for ran in checked.parts_run.ran
    )


RULE = Rule(
    name='part-inputs',
    finds='A neck, a transformer or a head that takes other channels or another number '
    'of maps than it gets, found by running it.',
    why='Training stops at the first image. No table knows the arguments of every '
    'class, and none those of your own, so they are run.',
    example="_base_ = 'mmdet::panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py'\n"
    'model = dict(semantic_head=dict(in_channels=128))',
    fix='Write the channels that it gets. Safe: an argument was found with which all '
    'of it runs. Else the argument is for you to find.',
    look=part_inputs,
    first=True,
)
