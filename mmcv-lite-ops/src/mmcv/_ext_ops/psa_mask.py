"""PSAMask: the attention that each pixel predicts around itself, laid over the map.

Source: Zhao et al., PSANet (ECCV 2018); mmcv 2.0.1,
ops/csrc/common/cuda/psamask_cuda_kernel.cuh.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

COLLECT, DISTRIBUTE = range(2)


def psamask_forward(
    input: Tensor,
    output: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Write what every pixel gives to every other, 0 beyond its mask.

    Args:
        input: (N, h_mask * w_mask, H, W): each pixel's mask, row by row.
        output: (N, H * W, H, W). With ``psa_type`` 0 (collect) ``output[n, q, y, x]``
            is what the mask of the pixel (y, x) says of the pixel q, with 1
            (distribute) what the mask of q says of (y, x).
        psa_type: 0 or 1.
        num_: N.
        h_feature: H.
        w_feature: W.
        h_mask: Rows of a mask.
        w_mask: Columns of a mask.
        half_h_mask: Row of the mask that lies on its own pixel.
        half_w_mask: Column that does.
    """
    own = torch.arange(h_feature, device=input.device)
    rows = own[:, None] - own + half_h_mask
    own = torch.arange(w_feature, device=input.device)
    columns = own[:, None] - own + half_w_mask
    # (other pixel, own pixel), both flat; beyond the mask a channel of zeros is read.
    tap = _flat(rows, h_mask, columns, w_mask, outside=h_mask * w_mask)
    said = pad(input.flatten(2), (0, 0, 0, 1)).gather(1, tap.expand(num_, -1, -1))
    if psa_type == DISTRIBUTE:
        said = said.transpose(1, 2)
    output.copy_(said.view_as(output))


def psamask_backward(
    grad_output: Tensor,
    grad_input: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Write the gradient of every mask into ``grad_input``, 0 beyond the map."""
    grad = grad_output.flatten(2)
    if psa_type == DISTRIBUTE:
        grad = grad.transpose(1, 2)
    taps = torch.arange(h_mask, device=grad.device)
    rows = taps[:, None] + torch.arange(h_feature, device=grad.device) - half_h_mask
    taps = torch.arange(w_mask, device=grad.device)
    columns = taps[:, None] + torch.arange(w_feature, device=grad.device) - half_w_mask
    # (tap of a mask, own pixel), both flat.
    other = _flat(rows, h_feature, columns, w_feature, outside=h_feature * w_feature)
    grad = pad(grad, (0, 0, 0, 1)).gather(1, other.expand(num_, -1, -1))
    grad_input.copy_(grad.view_as(grad_input))


def _flat(
    rows: Tensor, height: int, columns: Tensor, width: int, outside: int
) -> Tensor:
    """Return positions ``row * width + column``, ``outside`` where there is none.

    Args:
        rows: (A, H).
        height: Rows are inside [0, height).
        columns: (B, W).
        width: Columns are inside [0, width).
        outside: What stands for the others.

    Returns:
        (A * B, H * W).
    """
    inside = ((rows >= 0) & (rows < height))[:, None, :, None]
    inside = inside & ((columns >= 0) & (columns < width))[:, None]
    flat = rows[:, None, :, None] * width + columns[:, None]
    return flat.where(inside, outside).flatten(2).flatten(0, 1)
