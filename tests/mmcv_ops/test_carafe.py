"""CARAFE of mmcv.ops, and its naive twin."""

import mmcv.ops
import pytest
import torch
from mmcv import _ext
from mmengine.registry import MODELS
from torch import Tensor
from torch.autograd import gradcheck

# Kernel size, groups, scale factor.
SETTINGS = [(3, 1, 2), (5, 2, 2), (3, 4, 3), (1, 1, 1)]


def tensors(
    kernel: int, groups: int, scale: int, device: str = 'cpu', **options: object
) -> tuple[Tensor, Tensor]:
    """Features of another height than width, and masks that fit them."""
    options = dict(device=device, **options)
    masks = torch.rand(2, groups * kernel**2, 3 * scale, 4 * scale, **options)
    return torch.randn(2, 4, 3, 4, **options), masks


def loop_carafe(
    features: Tensor, masks: Tensor, kernel: int, groups: int, scale: int
) -> Tensor:
    """Sum over the window of every output pixel, one input pixel at a time."""
    batch, channels, height, width = features.shape
    output = features.new_zeros(batch, channels, height * scale, width * scale)
    edge, group_size = kernel // 2, channels // groups
    for c, y, x, i, j in torch.cartesian_prod(
        *map(torch.arange, (channels, height * scale, width * scale, kernel, kernel))
    ).tolist():
        row, column = y // scale + i - edge, x // scale + j - edge
        if 0 <= row < height and 0 <= column < width:
            tap = (c // group_size * kernel + i) * kernel + j
            output[:, c, y, x] += features[:, c, row, column] * masks[:, tap, y, x]
    return output


@pytest.mark.parametrize('op', [mmcv.ops.carafe, mmcv.ops.carafe_naive])
@pytest.mark.parametrize('setting', SETTINGS, ids=str)
def test_carafe_agrees_with_a_plain_loop(op, setting, device):
    features, masks = tensors(*setting, device=device)
    expected = loop_carafe(features.cpu(), masks.cpu(), *setting)
    torch.testing.assert_close(op(features, masks, *setting).cpu(), expected)


@pytest.mark.parametrize('setting', SETTINGS, ids=str)
def test_carafe_has_the_right_gradient(setting, device):
    args = tensors(*setting, device=device, dtype=torch.double)
    assert gradcheck(
        lambda *x: mmcv.ops.carafe(*x, *setting),
        [tensor.requires_grad_() for tensor in args],
        fast_mode=True,
    )


def test_the_naive_backward_is_the_other_one():
    # mmcv's Python lets only CUDA through to it, so the operator itself is called.
    features, masks = tensors(3, 2, 2)
    leaves = [tensor.clone().requires_grad_() for tensor in (features, masks)]
    output = mmcv.ops.carafe(*leaves, 3, 2, 2)
    grad_output = torch.randn_like(output)
    results = [torch.zeros_like(features), torch.zeros_like(masks)]
    _ext.carafe_naive_backward(grad_output, features, masks, *results, 3, 2, 2)
    torch.testing.assert_close(
        results, list(torch.autograd.grad(output, leaves, grad_output))
    )


def test_a_mask_of_one_tap_moves_the_map():
    features = torch.arange(12.0).view(1, 1, 3, 4)
    masks = torch.zeros(1, 9, 3, 4)
    masks[:, 3 * 2 + 1] = 1  # the pixel below
    output = mmcv.ops.carafe(features, masks, 3, 1, 1)
    assert torch.equal(output[0, 0, :2], features[0, 0, 1:])
    assert not output[0, 0, 2].any()


def test_equal_weights_of_the_pack_average_the_pixels_around():
    pack = MODELS.build(dict(type='carafe', channels=4, scale_factor=2))
    for layer in (pack.content_encoder, pack.channel_compressor):
        torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(pack.content_encoder.bias)
    features = torch.randn(2, 4, 5, 6)
    expected = torch.nn.functional.avg_pool2d(features, 5, 1, 2)
    expected = expected.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(pack(features), expected)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_carafe_keeps_half_precision(dtype, device):
    leaves = [t.to(dtype).requires_grad_() for t in tensors(3, 2, 2, device)]
    output = mmcv.ops.carafe(*leaves, 3, 2, 2)
    output.sum().backward()
    exact = mmcv.ops.carafe(*(t.detach().float() for t in leaves), 3, 2, 2)
    assert {output.dtype, *(t.grad.dtype for t in leaves)} == {dtype}
    torch.testing.assert_close(output, exact.to(dtype))


def test_carafe_runs_without_values():
    features, masks = tensors(3, 2, 2, device='meta')
    assert mmcv.ops.carafe(features, masks, 3, 2, 2).shape == (2, 4, 6, 8)
