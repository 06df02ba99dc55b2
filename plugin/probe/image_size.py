"""The sizes of image that a backbone takes."""

from __future__ import annotations

import math
from collections.abc import Iterator

from plugin.measure.forward import Maps, MeasuredBackbone
from plugin.measure.signatures import arguments_of

# Sizes that weights are published for, from LeNet's on.
_USUAL = (28, 32, 64, 128, 192, 196, 224, 240, 256, 288, 299, 320, 336, 380, 384, 448)
_LARGE = (512, 518, 560, 600, 640, 768, 896, 1024, 1280)


def size_divisor(
    measured: MeasuredBackbone, found: Maps, strides: tuple[int, ...] | None
) -> int | None:
    """Return the smallest number by which H and W must be divisible.

    That is: for the forward to run at sizes from that of ``found`` on, square or not,
    and to give maps of ceil(H / stride) x ceil(W / stride). It is looked for among 1,
    the powers of two and the strides.

    Args:
        measured: The backbone.
        found: A forward that worked, of a square image.
        strides: Of its maps; None if they are none.

    Returns:
        1 if any size works; None if single sizes alone do, if the maps are never
        of that size, or if the outputs are no maps.
    """
    if strides is None:
        return None
    deepest = max(strides)
    powers = {2**i for i in range((2 * deepest).bit_length())}
    smaller = {stride for stride in strides if stride <= 2 * deepest}
    for divisor in sorted(powers | smaller | {7 * deepest, 8 * deepest}):
        if all(
            _works(measured, size, strides)
            for size in _sizes(divisor, found.size[0], deepest)
        ):
            return divisor
    return None


def measured_strides(measured: MeasuredBackbone, found: Maps) -> tuple[int, ...] | None:
    """Return the strides of the maps of ``found``; None if they are not feature maps.

    They are taken at a size that all usual strides divide, where there is no question
    of rounding up or down, unless the backbone refuses it.
    """
    if found.strides is None:
        return None
    side = math.ceil(max(found.size[0], 256) / 128) * 128
    try:
        other = measured.forward((side, side))
    except Exception:
        return found.strides
    same = (other.layout, other.channels) == (found.layout, found.channels)
    return other.strides if same else found.strides


def working_size(measured: MeasuredBackbone, size: int) -> int | None:
    """Return a square size at which the backbone runs; None if none is found.

    Those that it says itself, as img_size or the like, come before the usual ones;
    the nearer to ``size`` the better.
    """
    for candidates in (_declared(measured), (*_USUAL, *_LARGE)):
        for candidate in sorted(candidates, key=lambda s: abs(s - size)):
            try:
                measured.forward((candidate, candidate))
            except Exception:
                continue
            return candidate
    return None


def _declared(measured: MeasuredBackbone) -> set[int]:
    defaults = arguments_of(type(measured.backbone)).defaults
    said = [
        value
        for name, value in {**defaults, **vars(measured.backbone)}.items()
        if 'size' in name
    ]
    sides = {x for v in said for x in (v if isinstance(v, (tuple, list)) else (v,))}
    return {side for side in sides if type(side) is int and 28 <= side <= 2048}


def _sizes(divisor: int, least: int, stride: int) -> Iterator[tuple[int, int]]:
    """Yield odd multiples of ``divisor``, which no larger power of two divides.

    One is just above a multiple of ``stride``, one is just below, and one is large.
    """
    first = _odd(math.ceil(least / divisor))
    last = _odd(max((least // stride + 2) * stride // divisor - 1, first))
    yield first * divisor, (first + 2) * divisor
    yield last * divisor, first * divisor
    yield _odd(2 * first) * divisor, last * divisor


def _odd(number: int) -> int:
    return number | 1


def _works(
    measured: MeasuredBackbone, size: tuple[int, int], strides: tuple[int, ...]
) -> bool:
    try:
        return _exact(measured.forward(size), strides)
    except Exception:
        return False


def _exact(found: Maps, strides: tuple[int, ...]) -> bool:
    """Return whether every map is of the size that its stride means."""
    wanted = tuple(
        tuple(math.ceil(side / stride) for side in found.size) for stride in strides
    )
    return found.sizes == wanted
