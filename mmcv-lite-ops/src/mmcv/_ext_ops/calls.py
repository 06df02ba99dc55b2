"""Conventions of mmcv's calls that the operators share.

mmcv hands in tensors of any floating point format and zeroed buffers for the results,
and asks for gradients after the graph of the forward is gone.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def full(tensor: Tensor) -> Tensor:
    """Return the tensor itself in float32 or float64, a float32 copy of any other.

    Half precision comes in under mixed precision. Box coordinates beyond 2048 and
    the sums of a large bin are not exact there, and torchvision's CPU kernels lack
    bfloat16.
    """
    if tensor.dtype in (torch.float32, torch.float64):
        return tensor
    return tensor.float()


def fill(buffer: Tensor, result: Tensor) -> None:
    """Write ``result`` into a buffer for it, with its memory where the format allows.

    The buffer is no view: what it is a view of would not see the result. mmcv's
    buffers are contiguous, and its callers count on it.
    """
    assert buffer.shape == result.shape, (buffer.shape, result.shape)
    if result.dtype == buffer.dtype and result.is_contiguous():
        buffer.set_(result)
    else:
        buffer.copy_(result)


def gradients(
    forward: Callable[..., Tensor], inputs: Sequence[Tensor], grad_output: Tensor
) -> tuple[Tensor, ...]:
    """Return the vector-Jacobian product of ``forward`` at ``inputs``.

    mmcv calls its backward operators inside ``autograd.Function.backward``, where
    recording is off and the graph of the forward is gone: it is built here once
    more, on detached tensors.

    Args:
        forward: Differentiable function of all ``inputs``.
        inputs: Floating point tensors.
        grad_output: Gradient of the output, in its shape and dtype.

    Returns:
        One gradient for each input, in its shape.
    """
    with torch.enable_grad():
        leaves = [tensor.detach().requires_grad_() for tensor in inputs]
        output = forward(*leaves)
        return torch.autograd.grad(output, leaves, grad_output)
