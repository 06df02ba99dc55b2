"""The two halves of a convolution at chosen positions: gather patches, scatter results.

mmcv has no backward for either.

Source: mmcv 2.0.1, ops/csrc/common/cuda/masked_conv2d_cuda_kernel.cuh.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad


def masked_im2col_forward(
    im: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Write the patch at every chosen position into ``col``, 0 outside the map.

    Args:
        im: (1, C, H, W).
        mask_h_idx: (M,) int64 rows of the positions, in [0, H).
        mask_w_idx: (M,) int64 columns, in [0, W).
        col: (C * kernel_h * kernel_w, M).
        kernel_h: Patch height.
        kernel_w: Patch width.
        pad_h: Rows by which a patch begins above its position.
        pad_w: Columns by which it begins left of it.
    """
    after_h, after_w = max(kernel_h - 1 - pad_h, 0), max(kernel_w - 1 - pad_w, 0)
    padded = pad(im[0], (pad_w, after_w, pad_h, after_h))
    down = torch.arange(kernel_h, device=im.device)[:, None, None]
    right = torch.arange(kernel_w, device=im.device)[None, :, None]
    col.copy_(padded[:, mask_h_idx + down, mask_w_idx + right].view_as(col))


def masked_col2im_forward(
    col: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    im: Tensor,
    height: int,
    width: int,
    channels: int,
) -> None:
    """Write the columns of ``col`` to their positions in ``im``, the rest stays.

    Args:
        col: (channels, M).
        mask_h_idx: (M,) int64 rows.
        mask_w_idx: (M,) int64 columns.
        im: (1, channels, height, width).
        height: Rows of ``im``.
        width: Columns of ``im``.
        channels: Channels of ``im``.

    Raises:
        ValueError: A position is outside ``im``; a compiled mmcv writes beyond its
            memory there.
    """
    if len(mask_h_idx) and (mask_h_idx.max() >= height or mask_w_idx.max() >= width):
        raise ValueError(
            f'the mask reaches row {int(mask_h_idx.max())} and column '
            f'{int(mask_w_idx.max())} but the output is {height}x{width}; choose a '
            'padding that keeps the size: (kernel_size - 1) / 2'
        )
    im[0, :, mask_h_idx, mask_w_idx] = col.to(im)
