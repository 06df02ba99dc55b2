"""One forward of a backbone: without values where that goes, else for real."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from plugin.measure.failures import Failure, channels_compared, failure_of
from plugin.measure.features import NoMaps, map_shapes
from plugin.measure.limits import (
    GIB,
    TookTooLong,
    is_out_of_memory,
    memory_limit,
    time_limit,
)
from plugin.measure.values_free import small_values

# A forward of one small image takes a second, and a gigabyte for its weights.
_MEMORY, _SECONDS = 6 * GIB, 60.0


@dataclass(frozen=True)
class BackboneForward:
    """The output of a backbone for an image of zeros.

    Attributes:
        size: Height and width of the image in pixels.
        shapes: Of its outputs, as :func:`~plugin.measure.features.map_shapes` has
            them; None if there are none.
        no_maps: What came out instead of a tuple of outputs, in words.
        failure: What the forward raised, also with values.
        reason: Why nothing is known, in words.
    """

    size: int
    shapes: list[tuple[int, ...] | str] | None = None
    no_maps: str | None = None
    failure: Failure | None = None
    reason: str | None = None


def forward_backbone(
    backbone: nn.Module,
    build: Callable[[], nn.Module],
    sizes: Sequence[int],
    channels: int = 3,
) -> BackboneForward:
    """Run a backbone at the first of ``sizes`` that it takes.

    On the meta device first. Where it asks for values there, or fails for another
    reason than its channels, it is built and run for real: that is what decides.

    Args:
        backbone: On the meta device, or on the CPU.
        build: Makes it for real, with random weights.
        sizes: Heights and widths in pixels.
        channels: Of the image.
    """
    if _takes_more(backbone):
        return BackboneForward(sizes[0], reason='its forward takes more than an image')
    first = _at_one_of(backbone, sizes, channels)
    known = first.failure is None or first.failure.takes is not None
    if known or not any(p.is_meta for p in backbone.parameters()):
        return first
    try:
        with memory_limit(_MEMORY), time_limit(_SECONDS):
            second = _at_one_of(build(), sizes, channels)
    except TookTooLong as error:
        return BackboneForward(sizes[0], reason=f'its forward takes {error}')
    except Exception as error:
        return BackboneForward(sizes[0], reason=f'{type(error).__name__}: {error}')
    if second.failure is not None and is_out_of_memory(second.failure.error):
        reason = f'its forward takes more than {_MEMORY // GIB} GiB'
        return BackboneForward(sizes[0], reason=reason)
    return second


def _takes_more(backbone: nn.Module) -> bool:
    parameters = list(inspect.signature(backbone.forward).parameters.values())
    required = [
        p
        for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    return len(required) > 1


def _at_one_of(
    backbone: nn.Module, sizes: Sequence[int], channels: int
) -> BackboneForward:
    first = None
    for size in sizes:
        try:
            with small_values(), channels_compared():
                return BackboneForward(size, map_shapes(backbone, size, channels))
        except NoMaps as error:
            return BackboneForward(size, no_maps=str(error))
        except Exception as error:
            first = first or failure_of(error, backbone)
            if first.takes is not None:
                break
    return BackboneForward(sizes[0], failure=first)
