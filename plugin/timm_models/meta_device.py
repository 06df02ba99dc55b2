"""Operations on the meta device, faster: their shapes without taking them apart.

torch 2.14 takes most of them apart into dozens of others, each in Python, which is most
of the time of a forward on that device, and of drawing weights that have no values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _get_current_dispatch_mode_stack,
)

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
    return _empty_like(maps), maps.new_empty(kept), maps.new_empty(kept)


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


def _normalized_in_groups(
    maps: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    images: int,
    channels: int,
    pixels: int,
    groups: int,
    *_: Any,
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return what a group norm makes of ``(N, C, ...)``."""
    given = [x for x in (weight, bias) if x is not None]
    if any(x.shape != maps.shape[1:2] or x.dtype != maps.dtype for x in given):
        return None
    if not maps.is_floating_point() or channels % groups:
        return None
    kept = images, groups
    return _empty_like(maps), maps.new_empty(kept), maps.new_empty(kept)


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


def _multiplied(bias: Tensor, a: Tensor, b: Tensor, **_: Any) -> Tensor | None:
    """Return ``(n, k) @ (k, m)`` with a bias, unless somebody counts multiply-adds."""
    others = _get_current_dispatch_mode_stack()
    if not all(isinstance(other, ShapesAtOnce) for other in others):
        return None
    if not a.ndim == b.ndim == 2 or a.shape[1] != b.shape[0]:
        return None
    if bias.shape != b.shape[1:] or not bias.dtype == a.dtype == b.dtype:
        return None
    return a.new_empty((a.shape[0], b.shape[1])) if b.is_meta else None


def _mean(
    maps: Tensor,
    dims: Sequence[int] | None,
    keepdim: bool = False,
    dtype: torch.dtype | None = None,
) -> Tensor | None:
    if not dims or dtype is not None or not maps.is_floating_point():
        return None
    if not maps.is_contiguous() or not all(-maps.ndim <= d < maps.ndim for d in dims):
        return None
    gone = {d % maps.ndim for d in dims}
    if len(gone) != len(dims):
        return None
    return maps.new_empty(
        [
            1 if d in gone else n
            for d, n in enumerate(maps.shape)
            if keepdim or d not in gone
        ]
    )


def _rolled(
    maps: Tensor, shifts: Sequence[int], dims: Sequence[int] = ()
) -> Tensor | None:
    known = maps.is_contiguous() and len(shifts) == len(dims) and maps.numel()
    in_range = all(-maps.ndim <= d < maps.ndim for d in dims)
    return _alike(maps) if known and in_range else None


def _chosen(where: Tensor, one: Tensor, other: Tensor) -> Tensor | None:
    """Return each element of one of two."""
    known = where.shape == one.shape == other.shape and one.dtype == other.dtype
    alike = all(x.is_meta and x.is_contiguous() for x in (where, one, other))
    return _alike(one) if known and alike else None


def _of_both(maps: Tensor, other: Any, **_: Any) -> Tensor | None:
    """Return what is made of the elements of two, or of each and a number."""
    if not isinstance(other, Tensor):
        return _alike(maps) if type(other) in (int, float) else None
    if not other.is_meta or other.dtype != maps.dtype:
        return None
    if other.shape == maps.shape:
        return _alike(maps) if other.stride() == maps.stride() else None
    large, small = maps, other
    if large.ndim < small.ndim or large.numel() < small.numel():
        large, small = small, large
    pairs = zip(reversed(large.shape), reversed(small.shape), strict=False)
    fits = small.ndim <= large.ndim and all(n in (1, m) for m, n in pairs)
    return _alike(large) if fits and large.is_contiguous() else None


def _clamped(maps: Tensor, low: object = None, high: object = None) -> Tensor | None:
    bounds = [bound for bound in (low, high) if bound is not None]
    known = bounds and all(type(bound) in (int, float) for bound in bounds)
    return _alike(maps) if known else None


def _gelu(maps: Tensor, approximate: str = 'none') -> Tensor | None:
    return _alike(maps) if approximate in ('none', 'tanh') else None


def _softmax(
    scores: Tensor, dim: int, dtype: torch.dtype | None = None
) -> Tensor | None:
    known = dtype is None and -scores.ndim <= dim < scores.ndim
    return _alike(scores) if known else None


def _alike(maps: Tensor, *_: Any) -> Tensor | None:
    """Return what is made of each element for itself."""
    return _empty_like(maps) if maps.is_floating_point() else None


def _empty_like(maps: Tensor) -> Tensor:
    """Return a tensor in the same layout; torch's own takes five times as long."""
    if maps.is_contiguous():
        return maps.new_empty_strided(maps.shape, maps.stride())
    return torch.empty_like(maps)


def _itself(maps: Tensor, *_: Any, **__: Any) -> Tensor | None:
    """Return ``maps``, whose elements are changed in place."""
    return maps if maps.is_floating_point() else None


def _normal(maps: Tensor, mean: float = 0, std: float = 1, **_: Any) -> Tensor | None:
    return None if std < 0 else _itself(maps)


# Each returns None where torch has to do it. Of what multiply-adds are counted in only
# `addmm` is here, which looks whether somebody counts: they would not see it.
_SHAPES = {
    aten.native_batch_norm.default: _normalized,
    aten.native_layer_norm.default: _layer_normalized,
    aten.native_group_norm.default: _normalized_in_groups,
    aten.addmm.default: _multiplied,
    aten.upsample_bilinear2d.default: _resized,
    aten.upsample_bicubic2d.default: _resized,
    aten.grid_sampler_2d.default: _sampled,
    aten._safe_softmax.default: _softmax,
    aten.mean.dim: _mean,
    aten.roll.default: _rolled,
    aten.where.self: _chosen,
    aten.add.Tensor: _of_both,
    aten.sub.Tensor: _of_both,
    aten.mul.Tensor: _of_both,
    aten.mul.Scalar: _of_both,
    aten.div.Tensor: _of_both,
    aten.pow.Tensor_Scalar: _of_both,
    aten.minimum.default: _of_both,
    aten.maximum.default: _of_both,
    aten.clamp.default: _clamped,
    aten.relu.default: _alike,
    aten.hardtanh.default: _alike,
    aten.hardtanh_.default: _itself,
    aten.leaky_relu.default: _alike,
    aten.leaky_relu_.default: _itself,
    aten.elu.default: _alike,
    aten.mish.default: _alike,
    aten.softplus.default: _alike,
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
