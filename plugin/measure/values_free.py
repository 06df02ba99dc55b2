"""Running a model that is on the meta device: shapes without values.

Between its maps a model computes with small tensors that it decides by: how many levels
there are, how large each is. Within :func:`small_values` those have values as on the
CPU, and become shapes where they meet a map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from plugin.timm_models.meta_device import ShapesAtOnce

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


class _MetOnMeta(ShapesAtOnce):
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


def _is_small(tensor: Tensor) -> bool:
    return tensor.numel() <= _SMALL


def _is_meta(args: Sequence[Any]) -> bool:
    return any(isinstance(arg, Tensor) and arg.is_meta for arg in args)


def _to_meta(node: Any) -> Any:
    if isinstance(node, Tensor) and not node.is_meta:
        return torch.empty_like(node, device='meta')
    return node
