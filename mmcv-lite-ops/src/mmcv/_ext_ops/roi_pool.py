"""RoIPool as mmcv has it: the largest pixel of each bin of a region.

torchvision's RoIPool is another one: it rounds the corners of a region first, mmcv
keeps the fractions and counts the last pixel in.

Source: Girshick, Fast R-CNN (arXiv:1504.08083); mmcv 2.0.1,
ops/csrc/common/cuda/roi_pool_cuda_kernel.cuh.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

from .calls import full


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Pool every region into ``output``; a bin without pixels gives 0.

    Args:
        input: (N, C, H, W).
        rois: (R, 5) as batch index, x1, y1, x2, y2 in pixels of the image.
        output: (R, C, pooled_height, pooled_width).
        argmax: int32, shaped as ``output``; ``y * W + x`` of the largest pixel, the
            first one of equals, -1 where a bin has none.
        pooled_height: Bins down.
        pooled_width: Bins across.
        spatial_scale: From image pixels to those of ``input``.
    """
    maps, regions = full(input), full(rois).to(full(input))
    height, width = maps.shape[2:]
    start = regions[:, 1:3] * spatial_scale
    size = (regions[:, 3:] + 1) * spatial_scale - start
    x1, x2 = _bin_edges(start[:, 0], size[:, 0], pooled_width, width)
    y1, y2 = _bin_edges(start[:, 1], size[:, 1], pooled_height, height)
    # One row a bin from here on: (R * h * w,).
    y1, y2 = (y[:, :, None].expand(-1, -1, pooled_width).flatten() for y in (y1, y2))
    x1, x2 = (x[:, None, :].expand(-1, pooled_height, -1).flatten() for x in (x1, x2))
    image = regions[:, 0].long().repeat_interleave(pooled_height * pooled_width)
    values = maps.new_zeros(len(image), maps.size(1))
    where = torch.full_like(values, -1, dtype=torch.long)
    # The maximum of a bin is that of four windows in its corners, each side of them
    # the largest power of two that fits: few window sizes serve all bins.
    windows = torch.stack([_largest_power(y2 - y1), _largest_power(x2 - x1)], 1)
    for window, largest, position in _window_maxima(maps, windows):
        of_window = (windows == windows.new_tensor(window)).all(1).nonzero()[:, 0]
        b, top, left = image[of_window], y1[of_window], x1[of_window]
        bottom, right = y2[of_window] - window[0], x2[of_window] - window[1]
        corners = [(y, x) for y in (top, bottom) for x in (left, right)]
        candidates = torch.stack([largest[b, :, y, x] for y, x in corners])
        positions = torch.stack([position[b, :, y, x] for y, x in corners])
        best = candidates.amax(0)
        values[of_window] = best
        where[of_window] = positions.where(candidates == best, height * width).amin(0)
    shape = (len(rois), pooled_height, pooled_width, maps.size(1))
    output.copy_(values.view(shape).permute(0, 3, 1, 2))
    argmax.copy_(where.view(shape).permute(0, 3, 1, 2))


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Add each bin's gradient to its largest pixel in ``grad_input`` (N, C, H, W)."""
    grad = full(grad_output).where(argmax >= 0, 0)
    channels, height, width = grad_input.shape[1:]
    plane = rois[:, 0].long()[:, None] * channels
    plane = plane + torch.arange(channels, device=rois.device)
    index = plane[:, :, None, None] * (height * width) + argmax.clamp(min=0)
    result = grad.new_zeros(grad_input.numel())
    result.index_add_(0, index.flatten(), grad.flatten())
    grad_input.add_(result.view(grad_input.shape))


def _bin_edges(
    start: Tensor, size: Tensor, bins: int, limit: int
) -> tuple[Tensor, Tensor]:
    """Return the first pixel and the one past the last of each bin, (R, bins) int64."""
    index = torch.arange(bins + 1, device=start.device).to(start)
    # By a tensor: by a number, a GPU multiplies with its rounded reciprocal.
    edges = index * (size / size.new_tensor(bins))[:, None] + start[:, None]
    # A region of negative size has its edges in descending order: no pixel.
    first = edges[:, :-1].floor().long().clamp(0, limit)
    last = edges[:, 1:].ceil().long().clamp(0, limit)
    return first, last.where(size[:, None] > 0, first)


def _window_maxima(
    maps: Tensor, windows: Tensor
) -> Iterator[tuple[tuple[int, int], Tensor, Tensor]]:
    """Return the maximum and its first position of each window in ``windows`` (M, 2).

    A window is twice the one before it, first across, then down, so that of equal
    pixels the earlier one in memory stays.
    """
    height, width = maps.shape[2:]
    wanted = {tuple(pair) for pair in windows.unique(dim=0).tolist()}
    tallest, widest = windows.amax(0).tolist() if len(windows) else (0, 0)
    position = torch.arange(height * width, device=maps.device).view(height, width)
    row = maps, position.expand_as(maps)
    across = 1
    while across <= widest:
        column, down = row, 1
        while down <= tallest:
            if (down, across) in wanted:
                yield (down, across), *column
            column, down = _doubled(*column, down, dim=2), 2 * down
        row, across = _doubled(*row, across, dim=3), 2 * across


def _doubled(
    largest: Tensor, position: Tensor, length: int, dim: int
) -> tuple[Tensor, Tensor]:
    """Return the maxima of windows twice as long, without those that do not fit."""
    count = max(largest.size(dim) - length, 0)
    first, first_position = (t.narrow(dim, 0, count) for t in (largest, position))
    start = largest.size(dim) - count
    then, then_position = (t.narrow(dim, start, count) for t in (largest, position))
    later = then > first
    return then.where(later, first), then_position.where(later, first_position)


def _largest_power(length: Tensor) -> Tensor:
    """Return the largest power of two up to each length; 0 for lengths below 1."""
    # frexp, not log2: exact at the powers themselves.
    exponent = torch.frexp(length.clamp(min=1).double()).exponent - 1
    return (2 ** exponent.long()).where(length >= 1, 0)
