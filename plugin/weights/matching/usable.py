"""Tensors of a checkpoint that no model can use as weights, whatever their names."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def unusable(tensor: Tensor, like: Tensor, learnt: bool = True) -> str | None:
    """Return why ``tensor`` is no value for ``like``; None if it is one.

    Args:
        tensor: From a checkpoint. On the meta device it has no values, which is
            right only where ``like`` has none either.
        like: The tensor of the model that it is for.
        learnt: Whether ``like`` is a parameter. A buffer may hold infinity, as masks
            of attention do.

    Returns:
        The end of a sentence about the tensor.
    """
    if tensor.is_quantized:
        return f'is quantized ({_dtype(tensor)})'
    if tensor.layout is not torch.strided:
        return f'is {str(tensor.layout).removeprefix("torch.")}'
    if tensor.is_meta:
        return None if like.is_meta else 'is on the meta device, without values'
    if like.is_floating_point() and not tensor.is_floating_point():
        return f'is {_dtype(tensor)}, not {_dtype(like)}'
    return not_a_number(tensor, learnt)


def not_a_number(tensor: Tensor, learnt: bool = True) -> str | None:
    """Return whether ``tensor`` holds NaN or, where it is learnt, infinity."""
    if tensor.is_meta or not tensor.is_floating_point():
        return None
    if tensor.element_size() == 1:
        tensor = tensor.float()  # torch 2.14 compares no 8-bit floats on the CPU.
    bad = tensor.isnan()
    if bad.any():
        return 'is NaN' if bad.all() else 'holds NaN'
    return 'holds infinity' if learnt and tensor.isinf().any() else None


def without_values(weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the names whose tensors are on the meta device, each with the reason."""
    return {
        name: 'is on the meta device, without values'
        for name, tensor in weights.items()
        if tensor.is_meta
    }


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix('torch.')
