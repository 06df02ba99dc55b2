"""Deformable RoI pooling of mmcv.ops."""

import math

import mmcv.ops
import pytest
import torch
import torchvision
from mmcv.ops import DeformRoIPoolPack, ModulatedDeformRoIPoolPack
from torch import Tensor
from torch.autograd import gradcheck

BINS = (3, 2)


def some_rois(device: str = 'cpu') -> Tensor:
    """Inside, across every edge, wholly outside, of less than a pixel."""
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


def loop_pool(
    maps: Tensor, rois: Tensor, offset: Tensor, scale: float, ratio: int, gamma: float
) -> Tensor:
    output = maps.new_zeros(len(rois), maps.size(1), *BINS)
    for r, (image, *corners) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (corner * scale - 0.5 for corner in corners)
        size = (y2 - y1, x2 - x1)
        steps = [side / bins for side, bins in zip(size, BINS, strict=True)]
        counts = [ratio or math.ceil(step) for step in steps]
        for channel, i, j in torch.cartesian_prod(
            *map(torch.arange, (maps.size(1), *BINS))
        ).tolist():
            right, down = offset[r, :, i, j].tolist()
            top = y1 + i * steps[0] + gamma * size[0] * down
            left = x1 + j * steps[1] + gamma * size[1] * right
            samples = [
                sample(
                    maps[int(image), channel],
                    top + (a + 0.5) / counts[0] * steps[0],
                    left + (b + 0.5) / counts[1] * steps[1],
                )
                for a in range(counts[0])
                for b in range(counts[1])
            ]
            output[r, channel, i, j] = sum(samples) / len(samples)
    return output


@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('gamma', [0.1, 1.0])
def test_deform_roi_pool_agrees_with_a_plain_loop(ratio, gamma, device):
    maps = torch.randn(2, 2, 8, 10, device=device)
    offset = torch.randn(5, 2, *BINS, device=device)
    pool = mmcv.ops.DeformRoIPool(BINS, 0.5, ratio, gamma)
    expected = loop_pool(maps.cpu(), some_rois(), offset.cpu(), 0.5, ratio, gamma)
    torch.testing.assert_close(
        pool(maps, some_rois(device), offset).cpu(), expected, atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('zeros', [True, False])
def test_without_offsets_it_is_torchvisions_roi_align(ratio, zeros):
    maps = torch.randn(2, 3, 16, 16)
    offset = torch.zeros(5, 2, 7, 7) if zeros else None
    pool = mmcv.ops.DeformRoIPool(7, 0.5, ratio)
    expected = torchvision.ops.roi_align(maps, some_rois(), 7, 0.5, ratio, True)
    torch.testing.assert_close(pool(maps, some_rois(), offset), expected)


@pytest.mark.parametrize('ratio', [0, 2])
@pytest.mark.parametrize('shifted', [True, False])
def test_deform_roi_pool_has_the_right_gradient(ratio, shifted, device):
    options = dict(dtype=torch.double, device=device)
    maps = torch.randn(2, 2, 6, 7, **options)
    offset = torch.randn(5, 2, *BINS, **options)
    rois = some_rois(device).double()
    pool = mmcv.ops.DeformRoIPool(BINS, 0.4, ratio, 0.5)
    inputs = [maps, offset] if shifted else [maps]
    assert gradcheck(
        lambda x, *shift: pool(x, rois, *shift),
        [tensor.requires_grad_() for tensor in inputs],
    )


def test_an_offset_moves_a_bin_by_its_share_of_the_region_across_and_down():
    maps = torch.arange(100.0).view(1, 1, 10, 10)
    rois = torch.tensor([[0.0, 2, 3, 6, 5]])  # 4 wide, 2 high
    offset = torch.tensor([1.0, 0.5]).view(1, 2, 1, 1)
    pool = mmcv.ops.DeformRoIPool(1, 1.0, 0, gamma=0.5)
    moved = pool(maps, rois, offset) - pool(maps, rois)
    # Two pixels to the right and half a row of ten down.
    assert moved.item() == pytest.approx(0.5 * 4 * 1 + 10 * 0.5 * 2 * 0.5)


def test_at_a_pixel_the_gradient_of_the_offset_is_that_to_the_larger_side():
    # mmcv takes the slope between a pixel and the next. A sample lies on each pixel.
    maps = torch.tensor([0.0, 1, 3, 7]).view(1, 1, 1, 4)
    slopes = []
    for x in range(4):
        rois = torch.tensor([[0.0, x, 0, x + 1, 1]])
        offset = torch.zeros(1, 2, 1, 1, requires_grad=True)
        mmcv.ops.DeformRoIPool(1, 1.0, 1, gamma=1.0)(maps, rois, offset).backward()
        slopes.append(offset.grad.flatten().tolist())
    assert slopes == [[1, 0], [2, 0], [4, 0], [0, 0]]


def test_a_region_without_area_gives_0_and_no_gradient():
    maps = torch.ones(1, 1, 4, 4, requires_grad=True)
    offset = torch.zeros(2, 2, 2, 2, requires_grad=True)
    rois = torch.tensor([[0.0, 2, 2, 2, 2], [0.0, 3, 3, 1, 1]])
    output = mmcv.ops.DeformRoIPool(2)(maps, rois, offset)
    output.sum().backward()
    assert not output.any() and not maps.grad.any() and not offset.grad.any()


def test_no_regions_give_an_empty_output_and_no_gradient(device):
    maps = torch.ones(1, 3, 4, 4, device=device, requires_grad=True)
    rois, offset = torch.zeros(0, 5, device=device), maps.new_zeros(0, 2, 2, 2)
    output = mmcv.ops.DeformRoIPool(2)(maps, rois, offset)
    output.sum().backward()
    assert output.shape == (0, 3, 2, 2) and not maps.grad.any()


@pytest.mark.parametrize('pack', [DeformRoIPoolPack, ModulatedDeformRoIPoolPack])
def test_the_packs_train_their_offsets(pack):
    layer = pack((2, 2), 3, deform_fc_channels=8, spatial_scale=0.5)
    maps = torch.randn(2, 3, 8, 10, requires_grad=True)
    layer(maps, some_rois()).square().sum().backward()
    assert layer.offset_fc[-1].bias.grad.any() and maps.grad.any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_deform_roi_pool_keeps_half_precision(dtype, device):
    maps = torch.randn(2, 2, 8, 8, device=device).to(dtype).requires_grad_()
    offset = torch.randn(5, 2, *BINS, device=device).to(dtype).requires_grad_()
    rois = some_rois(device).to(dtype)
    pool = mmcv.ops.DeformRoIPool(BINS, 0.5, 2)
    output = pool(maps, rois, offset)
    output.sum().backward()
    exact = pool(maps.detach().float(), rois.float(), offset.detach().float())
    assert output.dtype == maps.grad.dtype == offset.grad.dtype == dtype
    torch.testing.assert_close(output, exact.to(dtype))
