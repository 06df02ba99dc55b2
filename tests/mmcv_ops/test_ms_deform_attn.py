"""Multi-scale deformable attention of mmcv.ops.

mmcv itself takes another way on the CPU; ``MultiScaleDeformableAttnFunction`` is what
it applies on CUDA, and what calls ``mmcv._ext``.
"""

import math

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttnFunction,
    multi_scale_deformable_attn_pytorch,
)
from torch import Tensor
from torch.autograd import gradcheck

SHAPES = [(4, 6), (2, 3), (1, 5)]


def attend(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    shapes = torch.tensor(SHAPES, device=value.device)
    starts = torch.tensor([0, 24, 30], device=value.device)
    return MultiScaleDeformableAttnFunction.apply(
        value, shapes, starts, locations, weights, 64
    )


def tensors(device: str = 'cpu', **options: object) -> tuple[Tensor, Tensor, Tensor]:
    """Value, places in and around the maps, weights: 2 images, 5 queries, 4 heads."""
    options = dict(device=device, **options)
    return (
        torch.randn(2, 35, 4, 3, **options),
        torch.rand(2, 5, 4, 3, 2, 2, **options) * 1.6 - 0.3,
        torch.rand(2, 5, 4, 3, 2, **options),
    )


def loop_attend(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    """Sum over levels, points and the four pixels around each, one by one."""
    batch, queries, heads, levels, points = weights.shape
    output = value.new_zeros(batch, queries, heads, value.size(3))
    where = torch.cartesian_prod(*map(torch.arange, weights.shape)).tolist()
    for n, q, head, level, point in where:
        height, width = SHAPES[level]
        start = sum(h * w for h, w in SHAPES[:level])
        x = locations[n, q, head, level, point, 0].item() * width - 0.5
        y = locations[n, q, head, level, point, 1].item() * height - 0.5
        for row in (math.floor(y), math.floor(y) + 1):
            for column in (math.floor(x), math.floor(x) + 1):
                if 0 <= row < height and 0 <= column < width:
                    share = (1 - abs(y - row)) * (1 - abs(x - column))
                    pixel = value[n, start + row * width + column, head]
                    weight = weights[n, q, head, level, point]
                    output[n, q, head] += weight * share * pixel
    return output.flatten(2)


def test_attention_agrees_with_a_plain_loop(device):
    args = tensors(device)
    expected = loop_attend(*(tensor.cpu() for tensor in args))
    torch.testing.assert_close(attend(*args).cpu(), expected)


def test_attention_is_what_mmcv_computes_on_the_cpu():
    value, locations, weights = tensors()
    expected = multi_scale_deformable_attn_pytorch(
        value, torch.tensor(SHAPES), locations, weights
    )
    torch.testing.assert_close(attend(value, locations, weights), expected)


def test_attention_has_the_right_gradient(device):
    args = [t.requires_grad_() for t in tensors(device, dtype=torch.double)]
    assert gradcheck(attend, args, fast_mode=True)


def test_levels_begin_where_their_start_says():
    value = torch.tensor([0.0, 0, 7, 0]).view(1, 4, 1, 1)
    output = MultiScaleDeformableAttnFunction.apply(
        value,
        torch.tensor([[1, 1]]),
        torch.tensor([2]),
        torch.full((1, 1, 1, 1, 1, 2), 0.5),
        torch.ones(1, 1, 1, 1, 1),
        1,
    )
    assert output.tolist() == [[[7.0]]]


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_kept(dtype, device):
    args = [t.to(dtype).requires_grad_() for t in tensors(device)]
    output = attend(*args)
    output.sum().backward()
    exact = attend(*(t.detach().float() for t in args))
    assert {t.dtype for t in (output, *(t.grad for t in args))} == {dtype}
    torch.testing.assert_close(output, exact.to(dtype))


def test_no_queries_give_an_empty_output(device):
    value, locations, weights = tensors(device)
    assert attend(value, locations[:, :0], weights[:, :0]).shape == (2, 0, 12)
