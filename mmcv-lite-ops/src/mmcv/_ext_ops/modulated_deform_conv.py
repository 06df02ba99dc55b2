"""Modulated deformable convolution: each tap is scaled by a mask as well.

Source: Zhu et al. (arXiv:1811.11168); mmcv 2.0.1,
ops/csrc/pytorch/modulated_deform_conv.cpp and cpu/modulated_deform_conv.cpp.
"""

from torch import Tensor
from torch.nn.functional import pad

from .calls import fill
from .deform_conv import Convolution


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
        mask: (N, deformable_group * kernel_h * kernel_w, h, w). Both may be larger
            than ``output``, see :func:`_in_size`.
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
        ValueError: Channels do not fit together, or offsets or mask are too small.
    """
    conv = Convolution(
        (stride_h, stride_w),
        (pad_h, pad_w),
        (dilation_h, dilation_w),
        group,
        deformable_group,
    )
    size = output.shape[2:]
    offset, mask = _in_size(offset, size, 'offset'), _in_size(mask, size, 'mask')
    bias = bias if with_bias else None
    fill(output, conv.forward(input, weight, offset, mask, bias))


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
    """Write all gradients; 0 for what lies beyond the output's size in memory."""
    conv = Convolution(
        (stride_h, stride_w),
        (pad_h, pad_w),
        (dilation_h, dilation_w),
        group,
        deformable_group,
    )
    size = grad_output.shape[2:]
    by_input, by_weight, by_offset, by_mask, by_bias = conv.backward(
        grad_output,
        input,
        weight,
        _in_size(offset, size, 'offset'),
        _in_size(mask, size, 'mask'),
        bias if with_bias else None,
    )
    fill(grad_input, by_input)
    fill(grad_weight, by_weight)
    fill(grad_offset, _in_memory_of(by_offset, grad_offset))
    fill(grad_mask, _in_memory_of(by_mask, grad_mask))
    if with_bias:
        fill(grad_bias, by_bias)


def _in_size(tensor: Tensor, size: tuple[int, int], name: str) -> Tensor:
    """Read offsets or a mask as mmcv does: as flat memory in the output's size.

    DyHead gives the offsets of one level to the convolution of a smaller one. mmcv's
    kernels take the first numbers of each image, neither resized nor cropped.

    Args:
        tensor: (N, C, h, w).
        size: Height and width of the output.
        name: Of the tensor, for the message.

    Raises:
        ValueError: The memory of an image is too small; a compiled mmcv reads beyond.
    """
    if tensor.shape[2:] == size:
        return tensor
    needed = tensor.size(1) * size[0] * size[1]
    if tensor.shape[1:].numel() < needed:
        raise ValueError(
            f'{name} is {tensor.size(2)}x{tensor.size(3)} but the output is '
            f'{size[0]}x{size[1]}; give it the size of the output'
        )
    return tensor.flatten(1)[:, :needed].unflatten(1, (-1, *size))


def _in_memory_of(grad: Tensor, buffer: Tensor) -> Tensor:
    """Lay the gradient of what :func:`_in_size` returned out as ``buffer``."""
    if grad.shape == buffer.shape:
        return grad
    beyond = buffer.shape[1:].numel() - grad.shape[1:].numel()
    return pad(grad.flatten(1), (0, beyond)).view(buffer.shape)
