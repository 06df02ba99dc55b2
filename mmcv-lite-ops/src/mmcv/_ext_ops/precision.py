"""The number format in which the operators compute."""

import torch
from torch import Tensor


def full(tensor: Tensor) -> Tensor:
    """The tensor itself in float32 or float64, a float32 copy of any other.

    Half precision comes in under mixed precision. Box coordinates beyond 2048 and
    the sums of a large bin are not exact there, and torchvision's CPU kernels lack
    bfloat16.
    """
    if tensor.dtype in (torch.float32, torch.float64):
        return tensor
    return tensor.float()
