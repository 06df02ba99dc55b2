"""Running a model that is on the meta device: shapes without values.

Between its maps a model computes with small tensors that it decides by: how many levels
there are, how large each is. Within :func:`small_values` those have values as on the
CPU, and become shapes where they meet a map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

# Elements, at most, of a tensor whose values are kept.
_SMALL = 1 << 12

_OF_NUMBERS = {torch.arange, torch.linspace}
_OF_SIZES = {torch.as_tensor, torch.full, torch.ones, torch.tensor, torch.zeros}
_LIKE_ANOTHER = {
    Tensor.new_full,
    Tensor.new_ones,
    Tensor.new_tensor,
    Tensor.new_zeros,
    Tensor.to,
}


@contextmanager
def small_values() -> Iterator[None]:
    """Within it small tensors that are made from numbers keep their values."""
    with _OnCpu(), _MetOnMeta():
        yield


def shapes_at_once() -> AbstractContextManager:
    """Return what makes a forward on the meta device faster, and changes no shape."""
    return _AtOnce()


class _OnCpu(TorchFunctionMode):
    """Makes small tensors on the CPU though the meta device is asked for."""

    def __torch_function__(
        self,
        func: Callable,
        types: Sequence[type],
        args: tuple = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _OF_NUMBERS and not _is_meta(args):
            made = func(*args, **{**kwargs, 'device': 'cpu'})
            device = torch.device(kwargs.get('device') or 'cpu')
            on_cpu = _is_small(made) or device.type != 'meta'
            return made if on_cpu else _to_meta(made)
        if func not in _OF_SIZES and func not in _LIKE_ANOTHER:
            return func(*args, **kwargs)
        made = func(*args, **kwargs)
        if not made.is_meta or not _is_small(made):
            return made
        if func is Tensor.to:
            # A small tensor stays where its values are.
            return args[0] if args[0].is_meta else args[0].to(made.dtype)
        if func in _LIKE_ANOTHER:
            kwargs.setdefault('dtype', made.dtype)
            args = (torch.zeros(()), *args[1:])
        elif _is_meta(args):
            return made
        return func(*args, **{**kwargs, 'device': 'cpu'})


class _AtOnce(TorchDispatchMode):
    """Has the shapes of an operation on the meta device without taking it apart."""

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


class _MetOnMeta(_AtOnce):
    """Takes to the meta device what an operation has on the CPU beside a map."""

    def __torch_dispatch__(
        self,
        func: Callable,
        types: Sequence[type],
        args: tuple = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        on_meta = [tensor.is_meta for tensor in tensors]
        if any(on_meta) and not all(on_meta):
            args, kwargs = tree_map(_to_meta, (args, kwargs))
        return super().__torch_dispatch__(func, types, args, kwargs)


def _normalized(
    maps: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    variance: Tensor | None,
    training: bool,
    *_: Any,
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return what a batch norm makes of ``(N, C, ...)``; None where torch has to."""
    given = [x for x in (weight, bias, mean, variance) if x is not None]
    if training or maps.ndim < 2 or any(x.shape != maps.shape[1:2] for x in given):
        return None
    return torch.empty_like(maps), maps.new_empty(0), maps.new_empty(0)


def _resized(maps: Tensor, size: Sequence[int], *_: Any) -> Tensor | None:
    """Return ``(N, C, H, W)`` at another size; None where torch has to."""
    if maps.ndim != 4 or min(size) < 1 or not maps.numel():
        return None
    made = maps.new_empty((*maps.shape[:2], *size))
    channels_last = not maps.is_contiguous() and maps.is_contiguous(
        memory_format=torch.channels_last
    )
    return made.to(memory_format=torch.channels_last) if channels_last else made


def _layer_normalized(
    maps: Tensor, shape: Sequence[int], *weights: Any
) -> tuple[Tensor, Tensor, Tensor] | None:
    """Return what a layer norm makes of ``(..., *shape)``; None where torch has to."""
    given = [x for x in weights if isinstance(x, Tensor)]
    shapes = [maps.shape[maps.ndim - len(shape) :], *(x.shape for x in given)]
    if not shape or any(x != torch.Size(shape) for x in shapes):
        return None
    if not maps.is_floating_point() or any(x.dtype != maps.dtype for x in given):
        return None
    made = torch.empty_like(maps, memory_format=torch.contiguous_format)
    return made, maps.new_empty(0), maps.new_empty(0)


def _gelu(maps: Tensor, approximate: str = 'none') -> Tensor | None:
    """Return what GELU makes of maps of any shape; None where torch has to."""
    known = maps.is_floating_point() and approximate in ('none', 'tanh')
    return torch.empty_like(maps) if known else None


def _sampled(maps: Tensor, grid: Tensor, *modes: Any) -> Tensor | None:
    """Return ``(N, C, h, w)`` that ``grid``, ``(N, h, w, 2)``, samples of maps."""
    known = maps.ndim == 4 and grid.shape[::3] == (len(maps), 2)
    if not known or maps.dtype != grid.dtype or not maps.is_floating_point():
        return None
    return maps.new_empty((*maps.shape[:2], *grid.shape[1:3]))


# torch 2.14 takes these apart into dozens of operations, each in Python: most of the
# time of a forward on the meta device. Nothing whose multiply-adds are counted: the
# counter would not see it.
_SHAPES = {
    torch.ops.aten.gelu.default: _gelu,
    torch.ops.aten.grid_sampler_2d.default: _sampled,
    torch.ops.aten.native_batch_norm.default: _normalized,
    torch.ops.aten.native_layer_norm.default: _layer_normalized,
    torch.ops.aten.upsample_bilinear2d.default: _resized,
}


def _is_small(tensor: Tensor) -> bool:
    return tensor.numel() <= _SMALL


def _is_meta(args: Sequence[Any]) -> bool:
    return any(isinstance(arg, Tensor) and arg.is_meta for arg in args)


def _to_meta(node: Any) -> Any:
    if isinstance(node, Tensor) and not node.is_meta:
        return torch.empty_like(node, device='meta')
    return node
