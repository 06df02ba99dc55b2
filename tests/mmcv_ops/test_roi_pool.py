"""RoIPool of mmcv.ops; torchvision's rounds otherwise, so the reference is a loop."""

import math

import mmcv.ops
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck


def some_rois(device: str = 'cpu') -> Tensor:
    """Inside, over the edges, outside, of one pixel, upside down."""
    rows = [
        [0, 1.3, 2.1, 9.9, 8.3],
        [1, -9.0, -5.0, 11.0, 60.0],
        [1, 50.0, 50.0, 70.0, 60.0],
        [0, 6.0, 6.0, 6.0, 6.0],
        [0, 9.0, 9.0, 4.0, 12.0],
    ]
    return torch.tensor(rows, device=device)


def loop_roi_pool(
    maps: Tensor, rois: Tensor, bins: tuple[int, int], scale: float
) -> Tensor:
    height, width = maps.shape[2:]
    output = maps.new_zeros(len(rois), maps.size(1), *bins)
    for r, (image, x1, y1, x2, y2) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = x1 * scale, y1 * scale, (x2 + 1) * scale, (y2 + 1) * scale
        if x2 <= x1 or y2 <= y1:
            continue
        step_y, step_x = (y2 - y1) / bins[0], (x2 - x1) / bins[1]
        for i in range(bins[0]):
            for j in range(bins[1]):
                top = max(math.floor(y1 + i * step_y), 0)
                bottom = min(math.ceil(y1 + (i + 1) * step_y), height)
                left = max(math.floor(x1 + j * step_x), 0)
                right = min(math.ceil(x1 + (j + 1) * step_x), width)
                if top < bottom and left < right:
                    pixels = maps[int(image), :, top:bottom, left:right]
                    output[r, :, i, j] = pixels.amax((1, 2))
    return output


@pytest.mark.parametrize('bins', [(1, 1), (3, 2), (7, 7)])
@pytest.mark.parametrize('scale', [1.0, 0.5, 0.3])
def test_roi_pool_agrees_with_a_plain_loop(bins, scale, device):
    maps = torch.randn(2, 3, 13, 17, device=device)
    result = mmcv.ops.RoIPool(bins, scale)(maps, some_rois(device))
    expected = loop_roi_pool(maps.cpu(), some_rois(), bins, scale)
    assert torch.equal(result.cpu(), expected)


def test_roi_pool_has_the_right_gradient(device):
    maps = torch.randn(
        2, 2, 7, 6, dtype=torch.double, device=device, requires_grad=True
    )
    rois = some_rois(device).double()
    layer = mmcv.ops.RoIPool((2, 3), 0.5)
    assert gradcheck(lambda x: layer(x, rois), maps)


def test_the_first_of_equal_pixels_takes_the_gradient():
    maps = torch.zeros(1, 1, 5, 5, requires_grad=True)
    rois = torch.tensor([[0.0, 1, 1, 3, 3]])
    mmcv.ops.RoIPool(1)(maps, rois).sum().backward()
    assert maps.grad.nonzero().tolist() == [[0, 0, 1, 1]]


def test_no_regions_give_an_empty_output(device):
    maps = torch.ones(1, 3, 4, 4, device=device, requires_grad=True)
    output = mmcv.ops.RoIPool(2)(maps, torch.zeros(0, 5, device=device))
    output.sum().backward()
    assert output.shape == (0, 3, 2, 2) and not maps.grad.any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_roi_pool_keeps_half_precision(dtype, device):
    maps = torch.randn(2, 2, 8, 8, device=device).to(dtype).requires_grad_()
    rois = some_rois(device).to(dtype)
    layer = mmcv.ops.RoIPool(2, 0.5)
    output = layer(maps, rois)
    output.sum().backward()
    assert output.dtype == maps.grad.dtype == dtype
    assert torch.equal(output.float(), layer(maps.float(), rois.float()))
