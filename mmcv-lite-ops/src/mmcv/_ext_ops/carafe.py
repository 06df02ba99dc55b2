"""CARAFE: upsampling in which every output pixel has a kernel of its own.

Each output pixel is a weighted sum of the k x k input pixels around its place, with the
weights of its mask; pixels outside the map count 0. On rows of channels that is a bag
of ``k * k`` embeddings, which torch sums without holding the rows of all bags at once.

Source: Wang et al., CARAFE (arXiv:1905.02188); mmcv 2.0.1,
ops/csrc/common/cuda/{carafe,carafe_naive}_cuda_kernel.cuh.
"""

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, pad

from .calls import full, gradients


def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Upsample ``features`` into ``output``.

    Args:
        features: (N, C, H, W).
        masks: (N, group_size * kernel_size ** 2, H * scale_factor, W * scale_factor),
            the kernel's rows one after another.
        rfeatures: Shaped as ``features``; becomes a copy of them, for the backward.
        routput: Unused; mmcv's kernel keeps ``output`` with channels last there.
        rmasks: Unused likewise.
        output: (N, C, H * scale_factor, W * scale_factor).
        kernel_size: k, odd.
        group_size: Groups of channels, each with a kernel of its own.
        scale_factor: Output pixels along each side of an input pixel.
    """
    carafe_naive_forward(features, masks, output, kernel_size, group_size, scale_factor)
    rfeatures.copy_(features)


def carafe_backward(
    top_grad: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rtop_grad: Tensor,
    rbottom_grad_hs: Tensor,
    rbottom_grad: Tensor,
    rmask_grad: Tensor,
    bottom_grad: Tensor,
    mask_grad: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Write ``bottom_grad`` and ``mask_grad``; the other buffers stay as they are."""
    carafe_naive_backward(
        top_grad,
        rfeatures,
        masks,
        bottom_grad,
        mask_grad,
        kernel_size,
        group_size,
        scale_factor,
    )


def carafe_naive_forward(
    features: Tensor,
    masks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Upsample as :func:`carafe_forward` does: mmcv's two differ in speed alone."""
    output.copy_(
        _reassemble(full(features), full(masks), kernel_size, group_size, scale_factor)
    )


def carafe_naive_backward(
    top_grad: Tensor,
    features: Tensor,
    masks: Tensor,
    bottom_grad: Tensor,
    mask_grad: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Write the gradients of the features and the masks."""
    by_features, by_masks = gradients(
        lambda x, m: _reassemble(x, m, kernel_size, group_size, scale_factor),
        [full(features), full(masks)],
        full(top_grad),
    )
    bottom_grad.copy_(by_features)
    mask_grad.copy_(by_masks)


def _reassemble(
    features: Tensor, masks: Tensor, kernel: int, groups: int, scale: int
) -> Tensor:
    batch, channels, height, width = features.shape
    edge = kernel // 2
    # Channels last, an image and a group after the other: (N * groups * H * W, C').
    padded = pad(features, (edge, edge, edge, edge)).unflatten(1, (groups, -1))
    rows = padded.permute(0, 1, 3, 4, 2).reshape(-1, channels // groups)
    weights = masks.view(batch * groups, kernel**2, *masks.shape[2:])
    weights = weights.permute(0, 2, 3, 1).reshape(-1, kernel**2)

    # The padding shifts the pixel in the middle of a kernel to the kernel's first one.
    taps = torch.arange(kernel, device=features.device)
    y, x = (
        torch.arange(size * scale, device=features.device)[:, None] // scale + taps
        for size in (height, width)
    )
    padded_height, padded_width = height + 2 * edge, width + 2 * edge
    window = y[:, None, :, None] * padded_width + x[None, :, None, :]
    first = torch.arange(batch * groups, device=features.device)
    first = first * (padded_height * padded_width)
    index = first[:, None] + window.flatten()

    sums = embedding_bag(
        index.view(-1, kernel**2), rows, mode='sum', per_sample_weights=weights
    )
    sums = sums.view(batch, groups, height * scale, width * scale, -1)
    return sums.permute(0, 1, 4, 2, 3).flatten(1, 2)
