"""Deformable convolution: torchvision's, in mmcv's call.

Both come from the same source and lay the offsets out as (y, x) of one kernel tap
after another, deformable groups first. ``im2col_step``, ``columns`` and ``ones`` only
bound and hold mmcv's scratch memory; they have no part in the result.

Source: Dai et al. (arXiv:1703.06211); mmcv 2.0.1, ops/csrc/pytorch/deform_conv.cpp.
"""

from typing import NamedTuple

import torch
import torchvision  # noqa: F401 (brings torch.ops.torchvision)
from torch import Tensor

from .calls import fill, full


class Convolution(NamedTuple):
    """A deformable convolution of either version; pairs are (y, x)."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int
    deform_groups: int

    def forward(
        self,
        input: Tensor,
        weight: Tensor,
        offset: Tensor,
        mask: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """Return the output, in float32 or float64.

        Raises:
            ValueError: Channels of the tensors do not fit together.
        """
        self._check_channels(input, weight, offset, mask)
        return torch.ops.torchvision.deform_conv2d(
            *self._arguments(input, weight, offset, mask, bias)
        )

    def backward(
        self,
        grad_output: Tensor,
        input: Tensor,
        weight: Tensor,
        offset: Tensor,
        mask: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return the gradients of the tensors in their order, None's of any shape."""
        arguments = self._arguments(input, weight, offset, mask, bias)
        by_input, by_weight, by_offset, by_mask, by_bias = (
            torch.ops.torchvision._deform_conv2d_backward(full(grad_output), *arguments)
        )
        at_edge = self._at_outer_edge(full(offset), weight.shape[2:])
        by_offset.masked_fill_(at_edge, 0)
        return by_input, by_weight, by_offset, by_mask, by_bias

    def _arguments(
        self,
        input: Tensor,
        weight: Tensor,
        offset: Tensor,
        mask: Tensor | None,
        bias: Tensor | None,
    ) -> tuple[Tensor | int, ...]:
        """Return them in the order of torchvision's operators, tensors for None."""
        tensors = [
            input,
            weight,
            offset,
            input.new_zeros(len(input), 1) if mask is None else mask,
            input.new_zeros(len(weight)) if bias is None else bias,
        ]
        settings = (*self.stride, *self.padding, *self.dilation, *self[3:])
        return *map(full, tensors), *settings, mask is not None

    def _at_outer_edge(self, offset: Tensor, kernel: tuple[int, int]) -> Tensor:
        """Return where a tap reads exactly at -1 along its axis, shaped as ``offset``.

        There the map begins, and the derivative has two values: torchvision takes the
        one of the inside, mmcv that of the outside, 0. With a padding of 1 and the
        offsets that every pack starts from, 0, all taps of the border are there.
        """
        axes = []
        for size, taps, stride, padding, dilation in zip(
            offset.shape[2:], kernel, *self[:3], strict=True
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
        self, input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None
    ) -> None:
        per_group = weight.size(1)
        if input.size(1) != per_group * self.groups:
            raise ValueError(
                f'input has {input.size(1)} channels but weight takes {per_group} in '
                f'each of {self.groups} groups; give it {per_group * self.groups}'
            )
        taps = weight.size(2) * weight.size(3) * self.deform_groups
        for name, tensor, needed in (
            ('offset', offset, 2 * taps),
            ('mask', mask, taps),
        ):
            if tensor is not None and tensor.size(1) != needed:
                raise ValueError(
                    f'{name} has {tensor.size(1)} channels; '
                    f'deform_groups={self.deform_groups} and a kernel of '
                    f'{weight.size(2)}x{weight.size(3)} need {needed}'
                )


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
        ValueError: Channels of the tensors do not fit together.
    """
    conv = Convolution(
        (dH, dW), (padH, padW), (dilationH, dilationW), group, deformable_group
    )
    fill(output, conv.forward(input, weight, offset))


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
    """Write the gradients of the input and the offsets.

    torchvision's kernel has that of the weight at the same time. mmcv asks for it
    next, in a call of its own with the same ``columns``: it waits there.
    """
    conv = Convolution(
        (dH, dW), (padH, padW), (dilationH, dilationW), group, deformable_group
    )
    by_input, by_weight, by_offset, *_ = conv.backward(
        gradOutput, input, weight, offset
    )
    fill(gradInput, by_input)
    fill(gradOffset, by_offset)
    columns.grad_weight = by_weight


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
    by_weight = vars(columns).pop('grad_weight', None)
    if by_weight is None:
        conv = Convolution(
            (dH, dW), (padH, padW), (dilationH, dilationW), group, deformable_group
        )
        # Linear in the weight, so that any weight has the same gradient.
        weight = torch.zeros_like(gradWeight)
        _, by_weight, *_ = conv.backward(gradOutput, input, weight, offset)
    gradWeight.add_(by_weight, alpha=scale)
