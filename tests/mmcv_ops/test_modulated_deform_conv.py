"""Modulated deformable convolution with offsets and mask of another size."""

import mmcv.ops
import pytest
import torch
import torchvision
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor
from torch.autograd import gradcheck


def tensors(size: tuple[int, int], **options: object) -> list[Tensor]:
    """Input, offset, mask and weight for an output of 3x4; offset and mask of ``size``.

    Offset and mask are slices of one tensor, as DyHead has them.
    """
    both = torch.randn(2, 27, *size, **options)
    offset, mask = both[:, :18], both[:, 18:].sigmoid()
    x, weight = torch.randn(2, 2, 3, 4, **options), torch.randn(5, 2, 3, 3, **options)
    return [x, offset, mask, weight]


def convolve(x: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    return mmcv.ops.modulated_deform_conv2d(x, offset, mask, weight, None, 1, 1)


def test_the_first_numbers_of_each_image_are_taken():
    # 1x1 kernel, 2x2 map: the first four numbers of an image's memory are the shifts
    # down, the next four those across, and the first four of its mask the factors.
    x = torch.tensor([[1.0, 2], [3, 4]]).expand(2, 1, 2, 2)
    offset = torch.zeros(2, 2, 3, 3)
    offset[0].view(-1)[:8] = torch.tensor([1.0, 1, 0, -1, 1, 0, 1, -1])
    mask = torch.arange(18.0).view(2, 1, 3, 3)
    weight = torch.ones(1, 1, 1, 1)
    output = mmcv.ops.modulated_deform_conv2d(x, offset, mask, weight)
    first = [[4.0 * 0, 4.0 * 1], [4.0 * 2, 1.0 * 3]]
    second = [[1.0 * 9, 2.0 * 10], [3.0 * 11, 4.0 * 12]]
    assert output.tolist() == [[first], [second]]


@pytest.mark.parametrize('size', [(6, 8), (5, 3), (4, 3)], ids=str)
def test_a_larger_offset_is_read_as_memory_of_the_outputs_size(size):
    x, offset, mask, weight = tensors(size)
    first = offset.flatten(1)[:, : 18 * 12].view(2, 18, 3, 4)
    factors = mask.flatten(1)[:, : 9 * 12].view(2, 9, 3, 4)
    expected = torchvision.ops.deform_conv2d(x, first, weight, None, 1, 1, 1, factors)
    torch.testing.assert_close(convolve(x, offset, mask, weight), expected)


def test_a_larger_offset_has_the_right_gradient(device, nondet_tol):
    args = tensors((4, 5), dtype=torch.double, device=device)
    leaves = [tensor.detach().requires_grad_() for tensor in args]
    assert gradcheck(convolve, leaves, fast_mode=True, nondet_tol=nondet_tol)
    by_offset, by_mask = torch.autograd.grad(convolve(*leaves).sum(), leaves[1:3])
    assert not by_offset.flatten(1)[:, 18 * 12 :].any()
    assert not by_mask.flatten(1)[:, 9 * 12 :].any()


@pytest.mark.parametrize('name', ['offset', 'mask'])
def test_a_smaller_one_is_refused(name):
    x, offset, mask, weight = tensors((3, 4))
    small = dict(offset=offset, mask=mask)
    small[name] = small[name][:, :, :2]
    message = f'{name} is 2x4 but the output is 3x4; give it the size of the output'
    with pytest.raises(ValueError, match=message):
        convolve(x, small['offset'], small['mask'], weight)


def test_a_mask_of_another_number_of_groups_is_refused():
    x, offset, mask, weight = tensors((3, 4))
    with pytest.raises(ValueError, match='mask has 18 channels; deform_groups=1'):
        convolve(x, offset, torch.cat([mask, mask], 1), weight)


@pytest.mark.slow
def test_dyhead_trains_a_step_as_it_is_shipped(tmp_path):
    testing = pytest.importorskip('mmdet.testing')
    path = tmp_path / 'config.py'
    path.write_text("_base_ = 'mmdet::dyhead/atss_r50_fpn_dyhead_1x_coco.py'\n")
    cfg = Config.fromfile(path)
    cfg.model.backbone.init_cfg = None
    # Padded to 96x96: maps of 12 pixels a side to 1, and 2 is not the half of 3.
    data = testing.demo_mm_inputs(1, image_shapes=[(3, 68, 84)], num_items=[2])
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model)
        wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
        offsets = model.neck[1].dyhead_blocks[0].spatial_conv_offset.weight
        before = offsets.detach().clone()
        losses = model.train_step(data, wrapper)
    assert all(loss.isfinite() for loss in losses.values())
    assert offsets.isfinite().all() and not torch.equal(offsets, before)
