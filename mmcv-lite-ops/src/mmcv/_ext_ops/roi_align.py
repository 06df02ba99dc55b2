"""RoIAlign: bilinear samples of each bin of a region, averaged or at their largest.

Regions are (batch index, x1, y1, x2, y2) in the pixels of the image. Averaging is
torchvision's RoIAlign; the maximum, which torchvision lacks, is taken over samples
that torchvision reads as bins of their own.

Source: He et al., Mask R-CNN (arXiv:1703.06870); mmcv 2.0.1,
ops/csrc/common/cuda/roi_align_cuda_kernel.cuh.
"""

import torch
import torchvision
from torch import Tensor
from torch.nn.functional import max_pool2d

from .calls import fill, full

MAX, AVERAGE = range(2)
# Of the samples that the maximum reads at once: 64 MiB in float32.
SAMPLES_AT_ONCE = 2**24


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Pool every region into ``output``.

    Args:
        input: (N, C, H, W).
        rois: (R, 5).
        output: (R, C, aligned_height, aligned_width).
        argmax_y: Shaped as ``output``, filled where ``pool_mode`` is 0: the row of the
            largest sample in pixels of ``input``, -1 where a bin has no sample.
        argmax_x: Its column.
        aligned_height: Bins down.
        aligned_width: Bins across.
        spatial_scale: From image pixels to those of ``input``.
        sampling_ratio: Samples of a bin along each axis; 0 takes one a pixel.
        pool_mode: 0 maximum, 1 average.
        aligned: Shift by half a pixel, so that a pixel's centre is its coordinate.
    """
    bins = (aligned_height, aligned_width)
    maps, regions = full(input), full(rois).to(full(input))
    if pool_mode == AVERAGE:
        averages = torchvision.ops.roi_align(
            maps, regions, bins, spatial_scale, sampling_ratio, aligned
        )
        fill(output, averages)
        return
    start, size = _extent(regions, spatial_scale, aligned)
    # A region without area has no sample: mmcv writes -10000 on the CPU and -3.4e38
    # on CUDA there, here it is 0, as the average of nothing is in mmcv.
    output.zero_()
    argmax_y.fill_(-1)
    argmax_x.fill_(-1)
    grids = _samples_per_bin(size, bins, sampling_ratio)
    for grid in grids.unique(dim=0).tolist():
        if min(grid) < 1:
            continue
        samples = [count * per_bin for count, per_bin in zip(bins, grid, strict=True)]
        of_grid = (grids == grids.new_tensor(grid)).all(1).nonzero()[:, 0]
        chunk = max(1, SAMPLES_AT_ONCE // (maps.size(1) * samples[0] * samples[1]))
        for index in of_grid.split(chunk):
            values = torchvision.ops.roi_align(
                maps, regions[index], samples, spatial_scale, 1, aligned
            )
            values, where = max_pool2d(values, grid, return_indices=True)
            output[index] = values.to(output)
            for axis, argmax, position in (
                (0, argmax_y, where // samples[1]),
                (1, argmax_x, where % samples[1]),
            ):
                step = (size[index, axis] / samples[axis])[:, None, None, None]
                first = start[index, axis][:, None, None, None]
                argmax[index] = (first + (position + 0.5) * step).to(argmax)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the gradient of :func:`roi_align_forward` into ``grad_input``."""
    grad, shape = full(grad_output), grad_input.shape
    regions = full(rois).to(grad)
    if pool_mode == MAX:
        by_maps = _spread(grad, regions, full(argmax_y), full(argmax_x), shape)
    else:
        by_maps = spread_average(
            grad, regions, shape, spatial_scale, sampling_ratio, aligned
        )
    fill(grad_input, by_maps)


def spread_average(
    grad: Tensor,
    rois: Tensor,
    shape: torch.Size,
    scale: float,
    ratio: int,
    aligned: bool,
) -> Tensor:
    """Return the gradient of torchvision's RoIAlign by its maps.

    Args:
        grad: (R, C, h, w) gradient of the averages.
        rois: (R, 5) in the dtype of ``grad``.
        shape: (N, C, H, W) of the maps.
        scale: From image pixels to those of the maps.
        ratio: Samples of a bin along each axis; 0 takes one a pixel.
        aligned: As in the forward.
    """
    return torch.ops.torchvision._roi_align_backward(
        grad, rois, scale, *grad.shape[2:], *shape, ratio, aligned
    )


def _extent(rois: Tensor, scale: float, aligned: bool) -> tuple[Tensor, Tensor]:
    """Return start and size of each region, both (R, 2) as (y, x) in pixels."""
    corners = rois[:, 1:] * scale - (0.5 if aligned else 0)
    start, end = corners[:, [1, 0]], corners[:, [3, 2]]
    size = end - start
    # The old convention has no region smaller than a pixel.
    return start, size if aligned else size.clamp(min=1)


def _samples_per_bin(size: Tensor, bins: tuple[int, int], ratio: int) -> Tensor:
    """Return (R, 2) int64 samples of one bin down and across."""
    if ratio > 0:
        return torch.full_like(size, ratio, dtype=torch.long)
    return (size / size.new_tensor(bins)).ceil().long()


def _spread(
    grad: Tensor, rois: Tensor, y: Tensor, x: Tensor, shape: torch.Size
) -> Tensor:
    """Return the gradient of bilinear samples at (y, x) by the maps, (R, C, h, w)."""
    channels, height, width = shape[1:]
    inside = (y >= -1) & (y <= height) & (x >= -1) & (x <= width)
    # An empty bin is marked by -1 in both.
    inside &= (y != -1) | (x != -1)
    grad = grad.where(inside, 0)
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    plane = rois[:, 0].long()[:, None] * channels + torch.arange(
        channels, device=grad.device
    )
    base = plane[:, :, None, None] * (height * width)
    top, left = y.floor(), x.floor()
    result = grad.new_zeros(shape).flatten()
    for down in (0, 1):
        row = (top + down).clamp(max=height - 1).long()
        by_row = y - top if down else top + 1 - y
        for right in (0, 1):
            column = (left + right).clamp(max=width - 1).long()
            by_column = x - left if right else left + 1 - x
            index = base + row * width + column
            result.index_add_(0, index.flatten(), (grad * by_row * by_column).flatten())
    return result.view(shape)
