"""Deformable convolution, without and with modulation: torchvision's, in mmcv's call.

Both come from the same source and lay the offsets out as (y, x) of one kernel tap
after another, deformable groups first. ``im2col_step``, ``columns`` and ``ones`` only
bound and hold mmcv's scratch memory; they have no part in the result.

Source: Dai et al. (arXiv:1703.06211), Zhu et al. (arXiv:1811.11168); mmcv 2.0.1,
ops/csrc/pytorch/{deform_conv,modulated_deform_conv}.cpp.
"""

import torch
from torch import Tensor
from torchvision.ops import deform_conv2d

from .calls import full, gradients

# Stride, padding and dilation, each as (y, x).
Geometry = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Write the convolution into ``output``.

    Args:
        input: (N, C, H, W).
        weight: (K, C / group, kH, kW).
        offset: (N, 2 * deformable_group * kH * kW, h, w), in pixels.
        output: (N, K, h, w).
        columns: Unused.
        ones: Unused.
        kW: Kernel width.
        kH: Kernel height.
        dW: Stride across.
        dH: Stride down.
        padW: Zero padding left and right.
        padH: Zero padding above and below.
        dilationW: Dilation across.
        dilationH: Dilation down.
        group: Groups of channels, as in an ordinary convolution.
        deformable_group: Groups of channels that share their offsets.
        im2col_step: Unused.

    Raises:
        ValueError: Channels of ``input``, ``weight`` or ``offset`` don't fit together.
    """
    _check_channels(input, weight, offset, group, deformable_group)
    geometry = ((dH, dW), (padH, padW), (dilationH, dilationW))
    tensors = (full(t) for t in (input, offset, weight))
    output.copy_(_convolve(*tensors, geometry=geometry))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradInput: Tensor,
    gradOffset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Add to ``gradInput`` and write ``gradOffset``, as mmcv's kernels do."""
    geometry = ((dH, dW), (padH, padW), (dilationH, dilationW))
    fixed = full(weight)
    grad_input, grad_offset = gradients(
        lambda x, o: _convolve(x, o, fixed, geometry=geometry),
        [full(input), full(offset)],
        full(gradOutput),
    )
    gradInput.add_(grad_input)
    at_edge = _at_outer_edge(full(offset), (kH, kW), geometry)
    gradOffset.copy_(grad_offset.masked_fill(at_edge, 0))


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    gradOutput: Tensor,
    gradWeight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Add ``scale`` times the weight's gradient to ``gradWeight``."""
    geometry = ((dH, dW), (padH, padW), (dilationH, dilationW))
    maps, shifts = full(input), full(offset)
    # Linear in the weight, so that any weight has the same gradient.
    (grad_weight,) = gradients(
        lambda w: _convolve(maps, shifts, w, geometry=geometry),
        [maps.new_zeros(gradWeight.shape)],
        full(gradOutput),
    )
    gradWeight.add_(grad_weight, alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Write the convolution, each tap scaled by ``mask``, into ``output``.

    Args:
        input: (N, C, H, W).
        weight: (K, C / group, kernel_h, kernel_w).
        bias: (K,), or empty without ``with_bias``.
        ones: Unused.
        offset: (N, 2 * deformable_group * kernel_h * kernel_w, h, w), in pixels.
        mask: (N, deformable_group * kernel_h * kernel_w, h, w).
        output: (N, K, h, w).
        columns: Unused.
        kernel_h: Kernel height.
        kernel_w: Kernel width.
        stride_h: Stride down.
        stride_w: Stride across.
        pad_h: Zero padding above and below.
        pad_w: Zero padding left and right.
        dilation_h: Dilation down.
        dilation_w: Dilation across.
        group: Groups of channels, as in an ordinary convolution.
        deformable_group: Groups of channels that share offsets and mask.
        with_bias: Whether ``bias`` counts.

    Raises:
        ValueError: Channels of ``input``, ``weight`` or ``offset`` don't fit together.
    """
    _check_channels(input, weight, offset, group, deformable_group)
    geometry = ((stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w))
    used = [input, offset, weight, mask, *([bias] if with_bias else [])]
    output.copy_(_convolve(*map(full, used), geometry=geometry))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Write ``grad_offset`` and ``grad_mask``, add to the other gradients."""
    geometry = ((stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w))
    used = [input, offset, weight, mask, *([bias] if with_bias else [])]
    by_input, by_offset, by_weight, by_mask, *by_bias = gradients(
        lambda *tensors: _convolve(*tensors, geometry=geometry),
        [full(tensor) for tensor in used],
        full(grad_output),
    )
    grad_input.add_(by_input)
    grad_weight.add_(by_weight)
    at_edge = _at_outer_edge(full(offset), (kernel_h, kernel_w), geometry)
    grad_offset.copy_(by_offset.masked_fill(at_edge, 0))
    grad_mask.copy_(by_mask)
    if with_bias:
        grad_bias.add_(by_bias[0])


def _convolve(
    input: Tensor,
    offset: Tensor,
    weight: Tensor,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    *,
    geometry: Geometry,
) -> Tensor:
    return deform_conv2d(input, offset, weight, bias, *geometry, mask)


def _at_outer_edge(
    offset: Tensor, kernel: tuple[int, int], geometry: Geometry
) -> Tensor:
    """Where a tap reads exactly at -1 along its axis, shaped as ``offset``.

    There the map begins, and the derivative has two values: torchvision takes the one
    of the inside, mmcv that of the outside, 0. With a padding of 1 and the offsets
    that every pack starts from, 0, all taps of the border are there.
    """
    axes = []
    for size, taps, stride, padding, dilation in zip(
        offset.shape[2:], kernel, *geometry, strict=True
    ):
        first = torch.arange(size, device=offset.device) * stride - padding
        axes.append(
            torch.arange(taps, device=offset.device)[:, None] * dilation + first
        )
    shape = (*kernel, *offset.shape[2:])
    y = axes[0][:, None, :, None].expand(shape)
    x = axes[1][None, :, None, :].expand(shape)
    base = torch.stack([y, x], dim=2).flatten(0, 2)
    return (offset.unflatten(1, (-1, len(base))) + base == -1).flatten(1, 2)


def _check_channels(
    input: Tensor, weight: Tensor, offset: Tensor, group: int, deformable_group: int
) -> None:
    # torchvision infers both numbers of groups from the shapes: an error there would
    # be another convolution, silently.
    channels, per_group = input.size(1), weight.size(1)
    if channels != per_group * group:
        raise ValueError(
            f'input has {channels} channels but weight takes {per_group} in each of '
            f'{group} groups; give it {per_group * group}'
        )
    needed = 2 * deformable_group * weight.size(2) * weight.size(3)
    if offset.size(1) != needed:
        raise ValueError(
            f'offset has {offset.size(1)} channels; deform_groups={deformable_group} '
            f'and a kernel of {weight.size(2)}x{weight.size(3)} need {needed}'
        )
