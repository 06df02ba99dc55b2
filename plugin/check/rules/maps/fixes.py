"""The line that makes neck and heads agree with the backbone's maps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from plugin.check.checked_config import CheckedConfig
from plugin.check.model_defaults import with_defaults, written_out
from plugin.config.problem import Fix, assign, both
from plugin.measure.signatures import default_of
from plugin.spec import CHANNELS, LEVELS, Change, Mismatch, entry, type_name

Wrong = Callable[[CheckedConfig], list[Mismatch]]

# How many places are written in one fix, at most.
_STATEMENTS = 8


def fix_of(
    wrong: Mismatch, checked: CheckedConfig, wrong_slots: Wrong
) -> tuple[Fix, CheckedConfig]:
    """Return the fix for one place, empty if there is none, and the fixed config.

    Of several ways the one is taken after which the least is wrong. What becomes wrong
    only by it is fixed along with it.

    Args:
        wrong: The place.
        checked: The config.
        wrong_slots: Tells what is wrong with a config.
    """
    others = {w.slot.key for w in wrong_slots(checked)} - {wrong.slot.key}
    results = []
    for statements in _ways(wrong, checked):
        after = checked.with_fixes(statements)
        left = wrong_slots(after)
        while len(statements) < _STATEMENTS:
            new = [w for w in left if w.slot.key not in others]
            more = next(_ways(new[0], after), None) if new else None
            if not more or more[-1] in statements:
                break
            statements = [*statements, *more]
            after = after.with_fixes(more)
            left = wrong_slots(after)
        broken = after.built is None and checked.built is not None
        still = broken or any(w.slot.key == wrong.slot.key for w in left)
        cost = (still, len(left))
        results.append((cost, len(statements), both(statements), after))
    if not results or all(cost[0] for cost, *_ in results):
        return (), checked
    _, _, fix, after = min(results, key=lambda result: result[:2])
    return fix, after


def _ways(wrong: Mismatch, checked: CheckedConfig) -> Iterator[list[Fix]]:
    """Yield ways to fix one place, the plainest first."""
    slot = wrong.slot
    holder, _, name = slot.key.rpartition('.')
    if wrong.kind == LEVELS and _takes_as_many(slot.key, checked):
        yield from _other_outputs(len(slot.effective), checked)
    if slot.factor_key:
        changes = checked.wiring.channel_changes(
            checked.model, slot, wrong.expected, keep_factor=True
        )
        fix = [assign(change.key, change.value) for change in changes]
        if fix:
            yield fix
        return
    if wrong.kind == LEVELS and slot.kind == CHANNELS:
        if slot.maps and any(abs(m + 0.5) > len(wrong.expected) for m in slot.maps):
            yield from _other_maps(wrong, checked, holder)
            return
        yield [_assign(wrong, checked)]
        if name == 'in_channels' and '.neck' in holder:
            yield from _other_levels(wrong, checked, holder)
        return
    yield [_assign(wrong, checked)]
    if not isinstance(slot.written, int):
        yield _with_its_copies(wrong, checked)


def _with_its_copies(wrong: Mismatch, checked: CheckedConfig) -> list[str]:
    """Write the right numbers also where others begin with the wrong ones.

    SSD's neck repeats what it takes in what it gives, and the head all of that.
    """
    slot = wrong.slot
    old, new = tuple(slot.written), tuple(wrong.expected)
    statements = [_assign(wrong, checked)]
    for part in checked.parts:
        if not part.key.startswith('model.'):
            continue
        for name, value in part.cfg.items():
            key = f'{part.key}.{name}'
            if 'channels' not in name or not isinstance(value, (list, tuple)):
                continue
            if key != slot.key and tuple(value[: len(old)]) == old:
                right = (*new, *value[len(old) :])
                statements.append(assign(key, type(value)(right)))
    return statements


def _takes_as_many(key: str, checked: CheckedConfig) -> bool:
    """Return whether a neck and its heads are made for one number of maps."""
    if key != 'model.neck.in_channels':
        return False
    return checked.wiring.takes_as_many(entry(checked.model, 'model.neck'))


def _other_outputs(count: int, checked: CheckedConfig) -> Iterator[list[Fix]]:
    """Take the ``count`` coarsest maps of a backbone that gives more or fewer."""
    key = f'{checked.backbone_key}.out_indices'
    part = next((p for p in checked.parts if p.key == checked.backbone_key), None)
    outs = checked.backbone_cfg.get('out_indices')
    if outs is None and part is not None:
        outs = default_of(part.target, 'out_indices')
    if not isinstance(outs, (list, tuple)) or not outs:
        return
    below = range(max(outs[0] - (count - len(outs)), 0), outs[0])
    right = [*below, *outs][-count:]
    if len(right) == count:
        yield [assign(key, right)]


def _assign(wrong: Mismatch, checked: CheckedConfig) -> Fix:
    """Write the right numbers in the form of those that are there."""
    slot = wrong.slot
    value: Any = list(wrong.expected)
    if isinstance(slot.written, int):
        value = value[0]
    elif any(isinstance(v, Sequence) for v in slot.written):
        value = [[v, v] for v in value]
    elif isinstance(slot.written, tuple):
        # SSDNeck compares two of its arguments, and a list is no tuple.
        value = tuple(value)
    change = written_out(checked, Change(slot.key, value))
    return assign(change.key, change.value)


def _other_maps(
    wrong: Mismatch, checked: CheckedConfig, holder: str
) -> Iterator[list[Fix]]:
    """Yield maps that exist, for a head that asks for one that does not."""
    slot, there = wrong.slot, wrong.expected
    given = list(slot.fixed or checked.spec.channels)
    key = f'{holder}.in_index'
    if isinstance(slot.written, int):
        same = [i for i in there if i < len(given) and given[i] == slot.written]
        index = (same or [there[-1]])[-1]
        yield [assign(key, index)]
        yield [assign(key, index), assign(slot.key, given[min(index, len(given) - 1)])]
        return
    wanted = min(len(slot.maps), len(there))
    indices = list(there[-wanted:])
    yield [assign(key, indices)]
    channels = [given[min(i, len(given) - 1)] for i in indices]
    yield [assign(key, indices), assign(slot.key, channels)]


def _other_levels(
    wrong: Mismatch, checked: CheckedConfig, holder: str
) -> Iterator[list[Fix]]:
    """Begin at another map, in a neck for another number of maps."""
    neck = entry(with_defaults(checked), holder)
    channels = list(wrong.expected)
    if type_name(neck) == 'SimpleFeaturePyramid' and len(wrong.slot.effective) == 1:
        outs = checked.backbone_cfg.get('out_indices')
        if isinstance(outs, Sequence) and outs:
            key = f'{checked.backbone_key}.out_indices'
            yield [assign(key, [outs[-1]]), assign(wrong.slot.key, channels[-1:])]
    start = neck.get('start_level')
    if not isinstance(start, int):
        return
    fewer = len(wrong.slot.effective) - len(channels)
    levels = {0, start - fewer, len(channels) - 1} - {start}
    for level in sorted(level for level in levels if 0 <= level < len(channels)):
        statements = [assign(wrong.slot.key, channels)]
        statements.append(assign(f'{holder}.start_level', level))
        outs = neck.get('num_outs')
        if isinstance(outs, int) and outs < len(channels) - level:
            statements.append(assign(f'{holder}.num_outs', len(channels) - level))
        yield statements
