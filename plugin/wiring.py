"""Where a config repeats what its backbone gives: the contract of the four libraries.

Each task package has a ``wiring`` module with ``slots(model)``, which knows in which
places that library writes channel counts and strides, and what it makes of them. What
is here compares those places with what the backbone really gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plugin.features import FeatureSpec

CHANNELS = 'channels'
STRIDES = 'strides'
LEVELS = 'levels'


@dataclass(frozen=True)
class Slot:
    """One place in a config whose numbers follow from the backbone.

    Attributes:
        key: Where it is, such as ``'model.neck.in_channels'``.
        kind: ``CHANNELS`` or ``STRIDES``.
        written: What the config has there.
        effective: What the library makes of it, one number a map.
        maps: Which of the backbone's maps the numbers are about, in order; negative
            ones count from the end, and in strides a number past the last is a coarser
            map that the neck adds. None is all of them.
        fixed: The numbers that belong here whatever the backbone gives: what the neck
            hands on. None means that they come from the backbone.
        factor_key: Where the factor is that ``written`` is multiplied by, if there is.
    """

    key: str
    kind: str
    written: int | Sequence
    effective: tuple[int, ...]
    maps: tuple[int, ...] | None = None
    fixed: tuple[int, ...] | None = None
    factor_key: str | None = None


@dataclass(frozen=True)
class Disagreement:
    """A slot whose numbers are not those that the backbone gives.

    Attributes:
        slot: The slot.
        kind: ``LEVELS`` if the number of maps is wrong or one of them isn't there, else
            the slot's kind.
        expected: The effective numbers that belong there; for a map that isn't there,
            the maps that are.
    """

    slot: Slot
    kind: str
    expected: tuple[int, ...]


def disagreements(slots: Iterable[Slot], spec: FeatureSpec) -> list[Disagreement]:
    """Compare what a config says with what its backbone gives.

    Args:
        slots: From the ``slots(model)`` of the config's library.
        spec: Of the config's backbone.

    Returns:
        One entry a slot that is wrong, in the order of ``slots``.
    """
    found = []
    for slot in slots:
        there = range(-len(spec.channels), len(spec.channels))
        if slot.kind == CHANNELS and any(i not in there for i in slot.maps or ()):
            found.append(Disagreement(slot, LEVELS, tuple(range(len(spec.channels)))))
            continue
        numbers = expected(slot, spec)
        if len(numbers) != len(slot.effective):
            found.append(Disagreement(slot, LEVELS, numbers))
        elif numbers != slot.effective:
            found.append(Disagreement(slot, slot.kind, numbers))
    return found


def expected(slot: Slot, spec: FeatureSpec) -> tuple[int, ...]:
    """The effective numbers that ``slot`` must have for a backbone of ``spec``.

    Args:
        slot: A slot of which every map is there.
        spec: Of the backbone.
    """
    if slot.fixed is not None:
        return slot.fixed
    given = spec.channels if slot.kind == CHANNELS else spec.strides
    last = len(given) - 1
    maps = range(len(given)) if slot.maps is None else slot.maps
    # What a neck adds is made from the coarsest map with a stride of 2 each.
    return tuple(given[min(i, last)] * 2 ** max(i - last, 0) for i in maps)


def numbers(value: int | Sequence) -> tuple[int, ...]:
    """``value`` of a config as one number a map; a pair (x, y) counts by its x."""
    if isinstance(value, int):
        return (value,)
    return tuple(v[0] if isinstance(v, Sequence) else v for v in value)


def type_name(cfg: Mapping[str, Any]) -> str:
    """The class that ``cfg`` names, without a scope."""
    kind = cfg.get('type', '')
    return kind.rpartition('.')[2] if isinstance(kind, str) else kind.__name__


def as_list(cfg: Mapping | Sequence[Mapping] | None) -> list[Mapping]:
    """A part of a model that may be one dict, several or none, as a list."""
    if cfg is None:
        return []
    return [cfg] if isinstance(cfg, Mapping) else list(cfg)


def part_key(key: str, cfg: Mapping | Sequence, index: int) -> str:
    """Key of the ``index``-th of :func:`as_list`, such as ``model.neck[1]``."""
    return key if isinstance(cfg, Mapping) else f'{key}[{index}]'
