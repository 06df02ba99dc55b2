"""Deformable RoI pooling: RoIAlign whose bins are moved, each by an offset of its own.

Without offsets it is torchvision's RoIAlign. With them a bin is a weighted sum of
pixels, four for each of its bilinear samples. On rows of channels that is a bag of
embeddings: torch sums bags of any length, and gives the weights a gradient, through
which the offsets get theirs.

Source: Dai et al. (arXiv:1703.06211), Zhu et al. (arXiv:1811.11168); mmcv 2.0.1,
ops/csrc/common/cuda/deform_roi_pool_cuda_kernel.cuh.
"""

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag
from torchvision.ops import roi_align

from .calls import fill, full, gradients
from .roi_align import spread_average


def deform_roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    output: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Average the bilinear samples of every bin into ``output``.

    Args:
        input: (N, C, H, W).
        rois: (R, 5) as batch index, x1, y1, x2, y2 in pixels of the image.
        offset: (R, 2, pooled_height, pooled_width) as (x, y), or empty.
        output: (R, C, pooled_height, pooled_width).
        pooled_height: Bins down.
        pooled_width: Bins across.
        spatial_scale: From image pixels to those of ``input``.
        sampling_ratio: Samples of a bin along each axis; 0 takes one a pixel.
        gamma: An offset of 1 moves a bin by this share of the region's size.
    """
    maps, regions = full(input), full(rois).to(full(input))
    bins = (pooled_height, pooled_width)
    if offset.numel():
        shifts = full(offset).to(maps) * gamma
        pooled = _pool(maps, shifts, regions, spatial_scale, sampling_ratio)
    else:
        pooled = roi_align(maps, regions, bins, spatial_scale, sampling_ratio, True)
    fill(output, pooled)


def deform_roi_pool_backward(
    grad_output: Tensor,
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Write the gradients of the maps and, where there are offsets, of those.

    Beyond the edge of a map, where the samples repeat its last pixels, an offset has
    the derivative of the forward; mmcv's kernel continues the slope from inside.
    """
    maps, regions = full(input), full(rois).to(full(input))
    grad = full(grad_output).to(maps)
    if offset.numel():
        by_maps, by_offset = gradients(
            lambda x, o: _pool(x, o * gamma, regions, spatial_scale, sampling_ratio),
            [maps, full(offset).to(maps)],
            grad,
        )
        fill(grad_offset, by_offset)
    else:
        by_maps = spread_average(
            grad, regions, maps.shape, spatial_scale, sampling_ratio, aligned=True
        )
    fill(grad_input, by_maps)


def _pool(
    maps: Tensor, shifts: Tensor, rois: Tensor, scale: float, ratio: int
) -> Tensor:
    """Pool with ``shifts`` (R, 2, h, w), in sizes of the region."""
    channels, height, width = maps.shape[1:]
    bins = shifts.shape[2:]
    device = maps.device
    # A pair is (x, y) from here on.
    start = rois[:, 1:3] * scale - 0.5
    size = rois[:, 3:] * scale - 0.5 - start
    bin_size = size / size.new_tensor([bins[1], bins[0]])
    grid = bin_size.ceil().clamp(min=0) if ratio <= 0 else torch.full_like(size, ratio)

    # One row a bin.
    place = torch.cartesian_prod(*(torch.arange(n, device=device) for n in bins))
    moved = shifts.flatten(2).transpose(1, 2) * size[:, None]
    corner = start[:, None] + place.flip(1) * bin_size[:, None] + moved
    corner = corner.flatten(0, 1)
    grid = grid.long().repeat_interleave(len(place), 0)
    image = rois[:, 0].long().repeat_interleave(len(place))
    spacing = bin_size.repeat_interleave(len(place), 0) / grid

    # One row a sample, those of a bin one after another.
    samples = grid.prod(1)
    first = samples.cumsum(0) - samples
    of_bin = torch.arange(len(grid), device=device).repeat_interleave(samples)
    number = torch.arange(len(of_bin), device=device) - first[of_bin]
    columns = grid[of_bin, 0]
    step = torch.stack([number % columns, number // columns], 1)
    x, y = (corner[of_bin] + (step + 0.5) * spacing[of_bin]).unbind(1)
    column, by_column = _around(x, width)
    row, by_row = _around(y, height)
    # (2, 2, S) from here on: a sample's four pixels.
    pixel = (image[of_bin] * height + row)[:, None] * width + column
    weight = by_row[:, None] * by_column / samples[of_bin]

    sums = embedding_bag(
        pixel.flatten(0, 1).T.flatten(),
        maps.permute(0, 2, 3, 1).reshape(-1, channels),
        4 * first,
        mode='sum',
        per_sample_weights=weight.flatten(0, 1).T.flatten(),
    )
    return sums.view(len(rois), *bins, channels).permute(0, 3, 1, 2)


def _around(place: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the two pixels around each place along an axis, and their bilinear shares.

    Up to a pixel outside the map its last pixel is repeated, beyond it is 0.

    Args:
        place: (S,) coordinates in pixels.
        size: Pixels of the axis.

    Returns:
        Both (2, S), the lower pixel first: int64 pixels, and shares.
    """
    inside = (place >= -1) & (place <= size)
    edge = place.detach().where(inside, 0).clamp(0, size - 1)
    # Not clamp: whether its gradient counts at 0 differs among versions of torch.
    place = place.where(place == edge, edge)
    low = edge.floor()
    share = place - low
    pixels = torch.stack([low, (low + 1).clamp(max=size - 1)]).long()
    return pixels, torch.stack([1 - share, share]) * inside
