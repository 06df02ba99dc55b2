"""Operations on the meta device, faster: their shapes without taking them apart.

torch 2.14 takes most of them apart into dozens of others, each in Python, which is most
of the time of a forward on that device, and of drawing weights that have no values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten


class ShapesAtOnce(TorchDispatchMode):
    """Within it what is on the meta device has the shapes it has without, and sooner.

    What an operation could refuse is left to torch, as is every other operation.
    """

    def __torch_dispatch__(
        self,
        func: Callable,
        types: Sequence[type],
        args: tuple = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _SHAPES and args[0].is_meta:
            made = _SHAPES[func](*args, **kwargs)
            if made is not None:
                return made
        return func(*args, **kwargs)


def _normalized(
    maps: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    training: bool,
    *_: Any,
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return what a batch norm makes of ``(N, C, ...)``."""
    given = [x for x in (weight, bias, mean, variance) if x is not None]
    if maps.ndim < 2 or any(x.shape != maps.shape[1:2] for x in given):
        return None
    if not training and (mean is None or variance is None):
        return None
    kept = maps.shape[1] if training else 0
    return torch.empty_like(maps), maps.new_empty(kept), maps.new_empty(kept)


def _layer_normalized(
    maps: Tensor, shape: Sequence[int], *weights: Any
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return what a layer norm makes of ``(..., *shape)``."""
    given = [x for x in weights if isinstance(x, Tensor)]
    shapes = [maps.shape[maps.ndim - len(shape) :], *(x.shape for x in given)]
    if not shape or any(x != torch.Size(shape) for x in shapes):
        return None
    if not maps.is_floating_point() or any(x.dtype != maps.dtype for x in given):
        return None
    made = torch.empty_like(maps, memory_format=torch.contiguous_format)
    return made, maps.new_empty(0), maps.new_empty(0)


def _resized(maps: Tensor, size: Sequence[int], *_: Any) -> Tensor | None:
    """Return ``(N, C, H, W)`` at another size."""
    if maps.ndim != 4 or min(size) < 1 or not maps.numel():
        return None
    made = maps.new_empty((*maps.shape[:2], *size))
    channels_last = not maps.is_contiguous() and maps.is_contiguous(
        memory_format=torch.channels_last
    )
    return made.to(memory_format=torch.channels_last) if channels_last else made


def _sampled(maps: Tensor, grid: Tensor, *modes: Any) -> Tensor | None:
    """Return ``(N, C, h, w)`` that ``grid``, ``(N, h, w, 2)``, samples of maps."""
    known = maps.ndim == 4 and grid.shape[::3] == (len(maps), 2)
    if not known or maps.dtype != grid.dtype or not maps.is_floating_point():
        return None
    return maps.new_empty((*maps.shape[:2], *grid.shape[1:3]))


def _gelu(maps: Tensor, approximate: str = 'none') -> Tensor | None:
    return _alike(maps) if approximate in ('none', 'tanh') else None


def _softmax(
    scores: Tensor, dim: int, dtype: torch.dtype | None = None
) -> Tensor | None:
    known = dtype is None and -scores.ndim <= dim < scores.ndim
    return _alike(scores) if known else None


def _alike(maps: Tensor) -> Tensor | None:
    """Return what is made of each element for itself."""
    return torch.empty_like(maps) if maps.is_floating_point() else None


def _itself(maps: Tensor, *_: Any, **__: Any) -> Tensor | None:
    """Return ``maps``, whose elements are changed in place."""
    return maps if maps.is_floating_point() else None


def _normal(maps: Tensor, mean: float = 0, std: float = 1, **_: Any) -> Tensor | None:
    return None if std < 0 else _itself(maps)


# Each returns None where torch has to do it. Nothing whose multiply-adds are counted:
# the counter would not see it.
_SHAPES = {
    aten.native_batch_norm.default: _normalized,
    aten.native_layer_norm.default: _layer_normalized,
    aten.upsample_bilinear2d.default: _resized,
    aten.grid_sampler_2d.default: _sampled,
    aten._safe_softmax.default: _softmax,
    aten.gelu.default: _gelu,
    aten.hardsigmoid.default: _alike,
    aten.hardswish.default: _alike,
    aten.hardswish_.default: _itself,
    # What weights are drawn with.
    aten.clamp_.default: _itself,
    aten.erfinv_.default: _itself,
    aten.normal_.default: _normal,
    aten.uniform_.default: _itself,
}
