"""The maps that a backbone gives, and where a config repeats them: shared types.

A library's wiring (:class:`plugin.libraries.Wiring`) knows in which places its configs
write channel counts and strides, and what it makes of them. What is here compares
those places with what the backbone really gives. Imports nothing of ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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
            passes on. None means that they come from the backbone.
        factor_key: Where the factor is that ``written`` is multiplied by, if there is.
        given: How many maps there are to choose from, where a neck gives them; None is
            as many as the backbone gives, or, with ``fixed``, that it is not known.
        factors: In strides, what a neck makes of each of ``maps``: it resizes them.
    """

    key: str
    kind: str
    written: int | Sequence
    effective: tuple[int, ...]
    maps: tuple[int, ...] | None = None
    fixed: tuple[int, ...] | None = None
    factor_key: str | None = None
    given: int | None = None
    factors: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Change:
    """An entry of a model that becomes another.

    Attributes:
        key: Where it is, such as ``'model.neck.in_channels'``.
        value: What belongs there.
        why: Why, in a sentence; empty where that needs no saying.
    """

    key: str
    value: Any
    why: str = ''


@dataclass(frozen=True)
class Mismatch:
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


def mismatches(slots: Iterable[Slot], spec: FeatureSpec) -> list[Mismatch]:
    """Compare what a config says with what its backbone gives.

    Args:
        slots: From the ``slots(model)`` of the config's library.
        spec: Of the config's backbone.

    Returns:
        One entry a slot that is wrong, in the order of ``slots``.
    """
    found = []
    for slot in slots:
        missing = _missing(slot, spec)
        if missing is not None:
            found.append(Mismatch(slot, LEVELS, missing))
            continue
        numbers = expected(slot, spec)
        if len(numbers) != len(slot.effective):
            found.append(Mismatch(slot, LEVELS, numbers))
        elif numbers != slot.effective:
            found.append(Mismatch(slot, slot.kind, numbers))
    return found


def _missing(slot: Slot, spec: FeatureSpec) -> tuple[int, ...] | None:
    """Return the existing maps, if one that ``slot`` is about is not among them."""
    count = slot.given
    if count is None and slot.fixed is None:
        count = len(spec.channels)
    if slot.kind != CHANNELS or count is None:
        return None
    there = range(-count, count)
    return None if all(i in there for i in slot.maps or ()) else tuple(range(count))


def expected(slot: Slot, spec: FeatureSpec) -> tuple[int, ...]:
    """Return the effective numbers that ``slot`` must have for a backbone of ``spec``.

    Args:
        slot: A slot of which every map is there.
        spec: Of the backbone.
    """
    if slot.fixed is not None:
        return slot.fixed
    given = spec.channels if slot.kind == CHANNELS else spec.strides
    last = len(given) - 1
    maps = range(len(given)) if slot.maps is None else slot.maps
    if slot.factors is not None:
        pairs = zip(maps, slot.factors, strict=True)
        # 3.5 of patches of 14 pixels is no whole number, and stays so.
        exact = (given[min(i, last)] * factor for i, factor in pairs)
        return tuple(int(n) if n == int(n) else n for n in exact)
    # What a neck adds is made from the coarsest map with a stride of 2 each.
    return tuple(given[min(i, last)] * 2 ** max(i - last, 0) for i in maps)


def numbers(value: int | Sequence) -> tuple[int, ...]:
    """Return ``value`` as one number for each map; a pair (x, y) counts by its x."""
    if isinstance(value, int):
        return (value,)
    return tuple(v[0] if isinstance(v, Sequence) else v for v in value)


def type_name(cfg: Mapping[str, Any]) -> str:
    """Return the class that ``cfg`` names, without a scope."""
    kind = cfg.get('type', '')
    return kind.rpartition('.')[2] if isinstance(kind, str) else kind.__name__


def as_list(cfg: Mapping | Sequence[Mapping] | None) -> list[Mapping]:
    """Return a part of a model that may be one dict, several or none, as a list."""
    if cfg is None:
        return []
    return [cfg] if isinstance(cfg, Mapping) else list(cfg)


def part_key(key: str, cfg: Mapping | Sequence, index: int) -> str:
    """Return the key of an item of :func:`as_list`, such as ``model.neck[1]``."""
    return key if isinstance(cfg, Mapping) else f'{key}[{index}]'


def entry(model: Any, key: str) -> Any:
    """Return what a ``model`` has at a key that begins with ``model``.

    Raises:
        KeyError: It has nothing there.
    """
    node = model
    for name, index in re.findall(r'\.([^.\[\]]+)|\[(\d+)\]', key):
        node = node[name] if name else node[int(index)]
    return node


@dataclass(frozen=True)
class FeatureSpec:
    """Channels and strides of a backbone's output maps, shallow first.

    Attributes:
        channels: Channels of each map.
        strides: Input pixels per cell of each feature map. 3.5 is possible: patches of
            14 pixels, enlarged four times.
    """

    channels: tuple[int, ...]
    strides: tuple[float, ...]


def resolve_out_indices(
    out_indices: int | Sequence[int], num_stages: int, owner: str
) -> tuple[int, ...]:
    """Return ``out_indices`` as an ascending tuple of non-negative stage numbers.

    Args:
        out_indices: One stage or several; negative ones count from the end.
        num_stages: How many there are.
        owner: Whose argument it is, for the message.

    Raises:
        ValueError: Out of range, empty, or not ascending.
    """
    given = (out_indices,) if isinstance(out_indices, int) else tuple(out_indices)
    resolved = tuple(i + num_stages if i < 0 else i for i in given)
    allowed = f'{owner} has stages 0 to {num_stages - 1}'
    if not given:
        raise ValueError(f'out_indices={out_indices} asks for no map; {allowed}')
    if any(not 0 <= i < num_stages for i in resolved):
        raise ValueError(
            f'out_indices={out_indices} is out of range; {allowed} '
            f'(negative ones count from the end)'
        )
    if list(resolved) != sorted(set(resolved)):
        raise ValueError(
            f'out_indices={out_indices} must ascend without repeats, since necks take '
            f'maps shallow first; write out_indices={tuple(sorted(set(resolved)))}'
        )
    return resolved


def dicts(node: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every dict in a config, the outer ones first."""
    if isinstance(node, Mapping):
        yield node
        for child in node.values():
            yield from dicts(child)
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from dicts(child)


class NoSamples(Exception):
    """No samples are made for this kind of model; the message says what it takes."""


@dataclass(frozen=True)
class SampleSpec:
    """The look of two synthetic samples.

    Attributes:
        size: Height and width in pixels.
        classes: Classes of the objects, or of the pixels.
        channels: Channels of the images.
        seed: Of everything that is drawn.
        training: Whether they are for the loss, and not for a prediction.
    """

    size: tuple[int, int]
    classes: int
    channels: int = 3
    seed: int = 0
    training: bool = True
