"""PSAMask of mmcv.ops, both of its types."""

import mmcv.ops
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

# Masks that cover the map, reach beyond it, and lie within; odd and even sides.
MASKS = [(5, 7), (9, 3), (3, 3), (4, 2)]
SIZE = (3, 4)


def loop_psa_mask(masks: Tensor, psa_type: str, mask_size: tuple[int, int]) -> Tensor:
    """Copy of every tap of every pixel's mask to the pixel that it lies on."""
    height, width = SIZE
    output = masks.new_zeros(len(masks), height * width, height, width)
    half = [(side - 1) // 2 for side in mask_size]
    for y, x, i, j in torch.cartesian_prod(
        *map(torch.arange, (*SIZE, *mask_size))
    ).tolist():
        other_y, other_x = y + i - half[0], x + j - half[1]
        if 0 <= other_y < height and 0 <= other_x < width:
            value = masks[:, i * mask_size[1] + j, y, x]
            if psa_type == 'collect':
                output[:, other_y * width + other_x, y, x] = value
            else:
                output[:, y * width + x, other_y, other_x] = value
    return output


@pytest.mark.parametrize('psa_type', ['collect', 'distribute'])
@pytest.mark.parametrize('mask_size', MASKS, ids=str)
def test_psa_mask_agrees_with_a_plain_loop(psa_type, mask_size, device):
    masks = torch.randn(2, mask_size[0] * mask_size[1], *SIZE, device=device)
    output = mmcv.ops.PSAMask(psa_type, mask_size)(masks)
    assert torch.equal(output.cpu(), loop_psa_mask(masks.cpu(), psa_type, mask_size))


@pytest.mark.parametrize('psa_type', ['collect', 'distribute'])
@pytest.mark.parametrize('mask_size', MASKS, ids=str)
def test_psa_mask_has_the_right_gradient(psa_type, mask_size, device):
    taps = mask_size[0] * mask_size[1]
    masks = torch.randn(2, taps, *SIZE, dtype=torch.double, device=device)
    layer = mmcv.ops.PSAMask(psa_type, mask_size)
    assert gradcheck(layer, masks.requires_grad_())


def test_one_type_is_the_other_seen_from_the_other_pixel():
    masks = torch.randn(1, 15, *SIZE)
    collected, distributed = (
        mmcv.ops.PSAMask(psa_type, (5, 3))(masks).flatten(2)
        for psa_type in ('collect', 'distribute')
    )
    assert torch.equal(collected, distributed.transpose(1, 2))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_psa_mask_keeps_half_precision(dtype):
    masks = torch.randn(1, 9, *SIZE).to(dtype).requires_grad_()
    output = mmcv.ops.PSAMask('collect', (3, 3))(masks)
    output.sum().backward()
    assert output.dtype == masks.grad.dtype == dtype


def test_psa_mask_runs_without_values():
    masks = torch.randn(2, 9, *SIZE, device='meta')
    assert mmcv.ops.PSAMask('collect', (3, 3))(masks).shape == (2, 12, 3, 4)
