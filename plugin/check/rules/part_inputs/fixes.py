"""Find the arguments that say what a part takes, and values with which it fits."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plugin.check.checked_config import CheckedConfig
from plugin.check.running import part_of_module
from plugin.config.parts import Part
from plugin.config.problem import Fix, assign
from plugin.measure.failures import Failure
from plugin.measure.signatures import default_of, signature_of
from plugin.spec import entry

# How many ways are tried for one mistake: each builds the model.
_TRIES = 12

_LEVELS = re.compile(r'^num_\w*levels?$')

Way = tuple[str, list[Fix]]
"""The key that is wrong, and the fixes that write what belongs there."""


def ways(checked: CheckedConfig, failure: Failure) -> Iterator[Way]:
    """Yield ways to make a part take what it is given, the likeliest first.

    Args:
        checked: The config.
        failure: Of that part.
    """
    part = part_of_module(checked.built, failure.path, checked.parts)
    if part is None:
        return
    tried = 0
    found = (
        _of_channels(checked, part, failure)
        if failure.takes is not None
        else _of_levels(checked, part)
    )
    for way in found:
        yield way
        tried += 1
        if tried == _TRIES:
            return


def _of_channels(checked: CheckedConfig, part: Part, failure: Failure) -> Iterator[Way]:
    """Yield arguments of the part, then of the parts around it."""
    for holder in [part, *_around(part, checked.parts)]:
        for name, value in holder.cfg.items():
            key = f'{holder.key}.{name}'
            for right in _replaced(name, value, failure, checked, holder):
                yield key, _everywhere(checked, holder, name, value, right)
        yield from _defaults(holder, failure)


def _around(part: Part, parts: Sequence[Part]) -> list[Part]:
    """Return the parts around a part, the inner ones first, without the model."""
    outer = [
        other
        for other in parts
        if part.key.startswith((f'{other.key}.', f'{other.key}['))
        and other.key != 'model'
    ]
    return sorted(outer, key=lambda other: len(other.key), reverse=True)


def _replaced(
    name: str, value: Any, failure: Failure, checked: CheckedConfig, part: Part
) -> Iterator[Any]:
    """Yield what an argument may be instead, in the form in which it is written."""
    takes, given = failure.takes, failure.given
    if type(value) is int:
        if value == takes:
            yield given
        elif 'channels' in name and value > 1 and value * given % takes == 0:
            # A linear layer takes all cells of a region: 256 * 7 * 7, for example.
            if value not in _channels_of_regions(part, checked):
                yield value * given // takes
        elif name == 'roi_feat_size' and value * value * given % takes == 0:
            side = math.isqrt(value * value * given // takes)
            if side * side * takes == value * value * given:
                yield side
    elif isinstance(value, (list, tuple)) and takes in value:
        maps = checked.parts_run.channels
        for right in (
            list(maps) if len(maps) == len(value) and given in maps else None,
            [given if v == takes else v for v in value],
            *(
                [*value[:i], given, *value[i + 1 :]]
                for i, v in enumerate(value)
                if v == takes
            ),
        ):
            if right is not None and right != list(value):
                yield tuple(right) if isinstance(value, tuple) else right


def _channels_of_regions(part: Part, checked: CheckedConfig) -> Iterator[int]:
    """Yield the channels of the regions that the heads around a part are given."""
    around = part.key.rpartition('.')[0]
    for other in checked.parts:
        channels = other.cfg.get('out_channels')
        name = other.key.removeprefix(f'{around}.')
        if re.match(r'\w+_roi_extractor(\[\d+\])?$', name) and type(channels) is int:
            yield channels


def _everywhere(
    checked: CheckedConfig, part: Part, name: str, value: Any, right: Any
) -> list[Fix]:
    """Return the fixes for a part, and for those beside it in a list that say the same.

    The heads of a cascade are given the same maps.
    """
    siblings = re.sub(r'\[\d+\]$', '', part.key)
    if siblings == part.key:
        return [assign(f'{part.key}.{name}', right)]
    same = [
        f'{siblings}[{index}].{name}'
        for index, other in enumerate(entry(checked.model, siblings))
        if isinstance(other, Mapping) and other.get(name) == value
    ]
    return [assign(key, right) for key in same]


def _defaults(part: Part, failure: Failure) -> Iterator[Way]:
    """Yield arguments that are not written, whose default is what the layer takes."""
    signature = signature_of(part.target)
    for name in signature.names if signature else ():
        if name in part.cfg or 'channels' not in name:
            continue
        if default_of(part.target, name) == failure.takes:
            key = f'{part.key}.{name}'
            yield key, [assign(key, failure.given)]


def _of_levels(checked: CheckedConfig, part: Part) -> Iterator[Way]:
    """Change all numbers of levels: a transformer has one in each of its layers."""
    maps = checked.parts_run.maps
    if maps is None:
        return
    signature = signature_of(part.target)
    defaults = [
        (f'{part.key}.{name}', default_of(part.target, name))
        for name in (signature.names if signature else ())
        if name not in part.cfg and _LEVELS.search(name)
    ]
    written = list(_numbers_of_levels(part.cfg, part.key))
    inside = _of_attentions(checked) if part.key == 'model' else ()
    keys = [
        key
        for key, value in dict([*defaults, *inside, *written]).items()
        if type(value) is int and value != maps and not key.startswith('model.neck')
    ]
    if keys:
        yield keys[0], [assign(key, maps) for key in keys]


def _of_attentions(checked: CheckedConfig) -> Iterator[tuple[str, int]]:
    """Yield the numbers of levels of a transformer's attentions, written or not.

    Layers of mmdet are built from one ``layer_cfg``, and what is ``self_attn`` in them
    from its ``self_attn_cfg``.
    """
    for name, module in checked.built.named_modules():
        levels = getattr(module, 'num_levels', None)
        key = re.sub(r'\.layers\.\d+\.(\w+)$', r'.layer_cfg.\1_cfg', f'model.{name}')
        if type(levels) is int and key.endswith('_cfg'):
            try:
                entry(checked.model, key)
            except (LookupError, TypeError):
                continue
            yield f'{key}.num_levels', levels


def _numbers_of_levels(node: Any, key: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, Mapping):
        for name, value in node.items():
            if type(value) is int and _LEVELS.search(name):
                yield f'{key}.{name}', value
            yield from _numbers_of_levels(value, f'{key}.{name}')
    elif isinstance(node, (list, tuple)):
        for index, child in enumerate(node):
            yield from _numbers_of_levels(child, f'{key}[{index}]')
