"""What to write for mmyolo, which multiplies channels by ``widen_factor``."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmengine.config import Config

from plugin.check.checked_config import CheckedConfig
from plugin.check.model_defaults import entry
from plugin.config.problem import Fix, assign
from plugin.spec import Mismatch, numbers, type_name


def through_factor(wrong: Mismatch, checked: CheckedConfig) -> Iterator[list[Fix]]:
    """Ways to mend one place of mmyolo's.

    Args:
        wrong: The place.
        checked: The config.
    """
    slot = wrong.slot
    holder = slot.key.rpartition('.')[0]
    part = entry(checked.model, holder)
    written = written_for(part, wrong.expected)
    factor = part.get('widen_factor', 1.0)
    exact = written and [n * factor for n in written] == list(wrong.expected)
    plain = [] if exact else list(_without_factor(wrong, checked.cfg, holder))
    if plain:
        # Numbers that fit by rounding alone are none to read or to copy.
        yield plain
    elif written is not None:
        value = written[0] if isinstance(slot.written, int) else written
        yield [assign(slot.key, value)]


def written_for(part: Mapping[str, Any], right: Sequence[int]) -> list[int] | None:
    """What to write for ``part`` to make ``right`` of it; None if nothing does."""
    from plugin.yolo.wiring import widened  # It needs mmyolo, and this is its config.

    factor = part.get('widen_factor', 1.0)
    found = []
    for channels in right:
        near = math.floor(channels / factor)
        tries = sorted(
            range(near - 8, near + 9), key=lambda n: abs(n * factor - channels)
        )
        fitting = [n for n in tries if n > 0 and widened(part, n) == (channels,)]
        if not fitting:
            return None
        found.append(fitting[0])
    return found


def _without_factor(wrong: Mismatch, cfg: Config, holder: str) -> Iterator[Fix]:
    """``widen_factor=1.0``, and what it has multiplied so far, multiplied."""
    from plugin.yolo.wiring import SAME_CHANNELS, widened

    part = entry(cfg.model, holder)
    plain = {**part, 'widen_factor': 1.0}
    if written_for(plain, wrong.expected) is None:
        return
    yield assign(f'{holder}.widen_factor', 1.0)
    factor = part.get('widen_factor', 1.0)
    for name in ('in_channels', 'out_channels', 'feat_channels', 'proto_channels'):
        value = part.get(name)
        if value is None:
            continue
        right: Any = list(widened(part, value))
        if f'{holder}.{name}' == wrong.slot.key:
            right = list(wrong.expected)
        elif name == 'out_channels' and type_name(part) in SAME_CHANNELS:
            right = list(wrong.expected)
        elif name == 'feat_channels':
            right = [int(v * factor) for v in numbers(value)]
        yield assign(f'{holder}.{name}', right[0] if isinstance(value, int) else right)
