"""RoIAlign of mmcv.ops: the average and the maximum of bilinear samples."""

import math

import mmcv.ops
import pytest
import torch
import torchvision
from torch import Tensor
from torch.autograd import gradcheck


def some_rois(device: str = 'cpu') -> Tensor:
    """Inside, across every edge, wholly outside, of a pixel and less."""
    rows = [
        [0, 1.3, 2.1, 9.7, 8.2],
        [1, -3.5, -2.5, 6.0, 20.0],
        [0, 8.0, 3.0, 30.0, 6.5],
        [1, 40.0, 40.0, 60.0, 50.0],
        [0, 5.2, 5.1, 5.9, 5.6],
    ]
    return torch.tensor(rows, device=device)


def sample(plane: Tensor, y: float, x: float) -> float:
    """One bilinear sample; up to a pixel outside, the edge is repeated."""
    height, width = plane.shape
    if not (-1 <= y <= height and -1 <= x <= width):
        return 0.0
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    down, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    above = (1 - dx) * plane[top, left] + dx * plane[top, right]
    below = (1 - dx) * plane[down, left] + dx * plane[down, right]
    return float((1 - dy) * above + dy * below)


def loop_roi_align(
    maps: Tensor,
    rois: Tensor,
    bins: tuple[int, int],
    scale: float,
    ratio: int,
    mode: str,
    aligned: bool,
) -> Tensor:
    output = maps.new_zeros(len(rois), maps.size(1), *bins)
    for r, (image, *corners) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (c * scale - (0.5 if aligned else 0) for c in corners)
        size = [y2 - y1, x2 - x1]
        if not aligned:
            size = [max(s, 1.0) for s in size]
        steps = [s / b for s, b in zip(size, bins, strict=True)]
        counts = [ratio or math.ceil(step) for step in steps]
        for channel, i, j in torch.cartesian_prod(
            torch.arange(maps.size(1)), torch.arange(bins[0]), torch.arange(bins[1])
        ).tolist():
            plane = maps[int(image), channel]
            samples = [
                sample(
                    plane,
                    y1 + (i + (a + 0.5) / counts[0]) * steps[0],
                    x1 + (j + (b + 0.5) / counts[1]) * steps[1],
                )
                for a in range(counts[0])
                for b in range(counts[1])
            ]
            value = max(samples) if mode == 'max' else sum(samples) / len(samples)
            output[r, channel, i, j] = value
    return output


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
def test_roi_align_agrees_with_a_plain_loop(mode, aligned, ratio, device):
    maps = torch.randn(2, 2, 8, 10, device=device)
    args = ((3, 2), 0.5, ratio, mode, aligned)
    result = mmcv.ops.RoIAlign(*args)(maps, some_rois(device))
    expected = loop_roi_align(maps.cpu(), some_rois(), *args)
    torch.testing.assert_close(result.cpu(), expected)


@pytest.mark.parametrize('aligned', [True, False])
def test_the_average_is_torchvisions(aligned):
    maps = torch.randn(2, 3, 16, 16)
    result = mmcv.ops.RoIAlign(7, 0.5, 0, 'avg', aligned)(maps, some_rois())
    expected = torchvision.ops.roi_align(maps, some_rois(), 7, 0.5, 0, aligned)
    torch.testing.assert_close(result, expected)


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
def test_roi_align_has_the_right_gradient(mode, aligned, ratio, device):
    maps = torch.randn(
        2, 2, 6, 7, dtype=torch.double, device=device, requires_grad=True
    )
    rois = some_rois(device).double()
    layer = mmcv.ops.RoIAlign((2, 3), 0.4, ratio, mode, aligned)
    assert gradcheck(lambda x: layer(x, rois), maps)


def test_the_maximum_is_the_same_whatever_the_number_of_regions_at_once(monkeypatch):
    from mmcv._ext_ops import roi_align

    maps = torch.randn(2, 2, 8, 10)
    rois = some_rois().repeat(4, 1)
    layer = mmcv.ops.RoIAlign(3, 0.5, 0, 'max')
    expected = layer(maps, rois)
    monkeypatch.setattr(roi_align, 'SAMPLES_AT_ONCE', 1)
    assert torch.equal(layer(maps, rois), expected)


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_a_region_without_area_gives_0_and_no_gradient(mode):
    maps = torch.ones(1, 1, 4, 4, requires_grad=True)
    rois = torch.tensor([[0.0, 2, 2, 2, 2]])
    output = mmcv.ops.RoIAlign(2, 1.0, 0, mode)(maps, rois)
    output.sum().backward()
    assert output.tolist() == [[[[0, 0], [0, 0]]]]
    assert not maps.grad.any()


@pytest.mark.parametrize('mode', ['avg', 'max'])
def test_no_regions_give_an_empty_output_and_no_gradient(mode, device):
    maps = torch.ones(1, 3, 4, 4, device=device, requires_grad=True)
    rois = torch.zeros(0, 5, device=device)
    output = mmcv.ops.RoIAlign(2, 1.0, 0, mode)(maps, rois)
    output.sum().backward()
    assert output.shape == (0, 3, 2, 2)
    assert not maps.grad.any()


@pytest.mark.parametrize('mode', ['avg', 'max'])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_roi_align_keeps_half_precision(mode, dtype, device):
    maps = torch.randn(2, 2, 8, 8, device=device).to(dtype).requires_grad_()
    rois = some_rois(device)
    layer = mmcv.ops.RoIAlign(2, 0.5, 2, mode)
    output = layer(maps, rois.to(dtype))
    output.sum().backward()
    exact = layer(maps.detach().float(), rois.to(dtype).float())
    assert output.dtype == maps.grad.dtype == dtype
    torch.testing.assert_close(output, exact.to(dtype))
