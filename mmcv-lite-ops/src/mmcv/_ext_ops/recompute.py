"""Gradients by running a forward again under autograd."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def gradients(
    forward: Callable[..., Tensor], inputs: Sequence[Tensor], grad_output: Tensor
) -> tuple[Tensor, ...]:
    """Vector-Jacobian product of ``forward`` at ``inputs``.

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
