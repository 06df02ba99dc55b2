"""Numbers of maps that contradict each other within the config, whatever the backbone.

Constructors refuse these with an assertion that names no value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plugin.check.checked_config import CheckedConfig
from plugin.check.model_defaults import entry, with_defaults
from plugin.check.rule import Rule
from plugin.check.rules.maps import wrong_slots
from plugin.config.problem import ERROR, Problem, assign
from plugin.spec import numbers

# Maps of a pyramid: another one is half as large, so no image has more.
_MOST = 32
HEADS = ('decode_head', 'auxiliary_head')


def counts(checked: CheckedConfig) -> Iterator[Problem]:
    """Look at ``start_level`` and ``num_outs`` of necks, and ``in_index`` of heads."""
    if checked.wiring is None:
        return
    model = with_defaults(checked)
    for part in checked.parts:
        place = part.key.removeprefix('model.').partition('[')[0]
        if part.target is None:
            continue
        if place == 'neck':
            yield from _neck(part.key, entry(model, part.key), checked, model)
        elif place in HEADS and 'in_index' in part.cfg:
            yield from _head(part.key, entry(model, part.key), checked)


def _neck(
    key: str, neck: Mapping[str, Any], checked: CheckedConfig, model: Mapping[str, Any]
) -> Iterator[Problem]:
    taken, outs = neck.get('in_channels'), neck.get('num_outs')
    start, end = neck.get('start_level'), neck.get('end_level', -1)
    if isinstance(outs, int) and outs > _MOST:
        strides = _strides(model)
        fix = assign(f'{key}.num_outs', len(strides)) if strides else ()
        yield Problem(
            f'{key}.num_outs',
            'levels',
            ERROR,
            outs,
            f'at most {_MOST}',
            fix,
            unknown='' if fix else f'{key}.num_outs',
        )
        return
    if not isinstance(taken, (list, tuple)) or not isinstance(start, int):
        return
    count = len(taken)
    if not 0 <= start < count:
        fixes = [assign(f'{key}.start_level', level) for level in range(count)]
        # The one with which the anchors have the right strides.
        fix = min(fixes, key=lambda fix: len(wrong_slots(checked.with_fixes([fix]))))
        expected = f'0 to {count - 1}, for {count} in_channels'
        yield Problem(f'{key}.start_level', 'levels', ERROR, start, expected, fix)
        return
    used = (count if end in (-1, count - 1) else end + 1) - start
    if isinstance(outs, int) and outs < used:
        if key == 'model.neck' and _is_left_over(taken, start, outs, checked):
            # The neck is still written for the maps of another backbone.
            right = list(checked.spec.channels)
            key, fix = f'{key}.in_channels', assign(f'{key}.in_channels', right)
            yield Problem(key, 'levels', ERROR, taken, right, fix, safe=True)
            return
        strides = _strides(model)
        right = max(used, len(strides) if strides else used)
        expected = f'at least {used}, for the maps from {start} on'
        fix = assign(f'{key}.num_outs', right)
        yield Problem(
            f'{key}.num_outs', 'levels', ERROR, outs, expected, fix, safe=True
        )


def _is_left_over(
    taken: Sequence[int], start: int, outs: int, checked: CheckedConfig
) -> bool:
    """Return whether ``in_channels`` alone is wrong, by the maps of the backbone."""
    if checked.spec is None:
        return False
    count = len(checked.spec.channels)
    return count != len(taken) and start < count <= outs + start


def _strides(model: Mapping[str, Any]) -> list | None:
    for head in ('rpn_head', 'bbox_head'):
        cfg = model.get(head) or {}
        for name in ('anchor_generator', 'prior_generator', None):
            part = cfg.get(name) or {} if name else cfg
            if isinstance(part.get('strides'), (list, tuple)):
                return list(part['strides'])
    return None


def _head(
    key: str, head: Mapping[str, Any], checked: CheckedConfig
) -> Iterator[Problem]:
    channels, index = head.get('in_channels'), head.get('in_index')
    if channels is None or index is None or checked.model.get('neck'):
        return
    several = isinstance(channels, (list, tuple)), isinstance(index, (list, tuple))
    if all(several) and len(channels) == len(index):
        return
    if not any(several):
        return
    if several[0]:
        count = len(numbers(channels))
        right = list(range(count))
        expected = f'{count} maps, one for each of in_channels'
        fix = assign(f'{key}.in_index', right)
        yield Problem(f'{key}.in_index', 'levels', ERROR, index, expected, fix)
    else:
        fix = assign(f'{key}.in_index', index[-1] if index else -1)
        expected = 'one map, for one number of in_channels'
        yield Problem(f'{key}.in_index', 'levels', ERROR, index, expected, fix)


RULE = Rule(
    name='counts',
    finds='Numbers of maps that contradict each other, whatever the backbone: '
    '`start_level` and `num_outs` of a neck, `in_index` of a head.',
    why='The constructor stops with an assertion that names no value.',
    example="_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"
    'model = dict(neck=dict(num_outs=2))',
    fix='Write a number that fits. Safe: as many outputs as there are maps or '
    'strides. Unsafe: another first level, or other maps for a head.',
    look=counts,
    first=True,
)
