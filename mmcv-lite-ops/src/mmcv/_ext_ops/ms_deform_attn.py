"""Multi-scale deformable attention.

Source: Zhu et al., Deformable DETR (arXiv:2010.04159); mmcv 2.0.1,
ops/csrc/common/cuda/ms_deform_attn_cuda_kernel.cuh.
"""

from torch import Tensor
from torch.nn.functional import grid_sample

from .calls import fill, full, gradients


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Return the weighted sum of bilinear samples over levels and points.

    Args:
        value: (N, S, heads, D), the S pixels of all levels one after another.
        value_spatial_shapes: (levels, 2) height and width.
        value_level_start_index: (levels,) first pixel of each level.
        sampling_locations: (N, Q, heads, levels, points, 2) as x, y; 0 and 1 are the
            outer edges of a level, and 0 is read outside.
        attention_weights: (N, Q, heads, levels, points).
        im2col_step: Unused; mmcv's kernel takes that many images at a time.

    Returns:
        (N, Q, heads * D), in the dtype of ``value``.
    """
    levels = _levels(value_spatial_shapes, value_level_start_index)
    tensors = (full(t) for t in (value, sampling_locations, attention_weights))
    return _attend(*tensors, levels=levels).to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Write the gradients into the three buffers, shaped as their tensors."""
    levels = _levels(value_spatial_shapes, value_level_start_index)
    by_value, by_location, by_weight = gradients(
        lambda *tensors: _attend(*tensors, levels=levels),
        [full(value), full(sampling_locations), full(attention_weights)],
        full(grad_output),
    )
    fill(grad_value, by_value)
    fill(grad_sampling_loc, by_location)
    fill(grad_attn_weight, by_weight)


def _levels(shapes: Tensor, starts: Tensor) -> list[tuple[int, int, int]]:
    """Return the first pixel, height and width of each level."""
    pairs = zip(starts.tolist(), shapes.tolist(), strict=True)
    return [(start, height, width) for start, (height, width) in pairs]


def _attend(
    value: Tensor,
    locations: Tensor,
    weights: Tensor,
    *,
    levels: list[tuple[int, int, int]],
) -> Tensor:
    batch, queries, heads = locations.shape[:3]
    # Heads join the batch: (N * heads, D, S) maps, (N * heads, Q, points, 2) places.
    maps = value.permute(0, 2, 3, 1).flatten(0, 1)
    grids = (2 * locations - 1).transpose(1, 2).flatten(0, 1)
    shares = weights.transpose(1, 2).flatten(0, 1)
    total = 0
    for level, (start, height, width) in enumerate(levels):
        pixels = maps[:, :, start : start + height * width]
        samples = grid_sample(
            pixels.unflatten(2, (height, width)),
            grids[:, :, level],
            align_corners=False,
        )
        total = total + (samples * shares[:, None, :, level]).sum(-1)
    width = heads * value.size(3)
    return total.reshape(batch, width, queries).transpose(1, 2).contiguous()
