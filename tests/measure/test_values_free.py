"""Small tensors have values on the meta device, and maps have shapes."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from plugin.measure.values_free import small_values
from plugin.timm_models.meta_device import ShapesAtOnce

META = torch.device('meta')


def sample(maps, shape):
    grid = torch.zeros(shape, device=maps.device, dtype=maps.dtype)
    return F.grid_sample(maps, grid, align_corners=False)


@pytest.fixture
def feature_map():
    return torch.zeros(1, 8, 16, 16, device='meta')


@pytest.mark.parametrize(
    'make',
    [
        lambda x: torch.tensor([16, 16], device=x.device),
        lambda x: torch.as_tensor(x.shape[-2:], device=x.device),
        lambda x: torch.arange(16, 18, device=x.device),
        lambda x: torch.linspace(16, 16, 2, device=x.device),
        lambda x: torch.full((2,), 16, device=x.device),
        lambda x: x.new_tensor([16, 16]),
        lambda x: x.new_full((2,), 16),
        lambda x: torch.tensor([16, 16]).to(x.device),
    ],
)
def test_what_is_made_from_numbers_has_values(feature_map, make):
    with small_values():
        assert make(feature_map)[0].item() == 16


def test_a_number_of_steps_may_be_a_small_tensor(feature_map):
    """As mmdet's deformable encoders lay their reference points."""
    with small_values():
        height = torch.tensor(16, device=feature_map.device)
        points = torch.linspace(0.5, height - 0.5, height, device=feature_map.device)
    assert points.shape == (16,)


def test_what_meets_a_map_is_a_shape(feature_map):
    with small_values():
        scales = torch.tensor([1.0, 2.0], device=META)
        assert scales.device.type == 'cpu'
        assert (feature_map * scales[0]).is_meta
        assert feature_map[:, torch.arange(2, device=META)].shape == (1, 2, 16, 16)


def test_what_is_large_has_no_values():
    with small_values():
        assert torch.zeros(1 << 13, device=META).is_meta
        assert torch.arange(1 << 13, device=META).is_meta


def test_a_map_of_ones_keeps_its_type(feature_map):
    with small_values():
        assert feature_map.new_ones(4).dtype == torch.float32
        assert feature_map.new_tensor([1, 2]).dtype == torch.float32


def test_outside_nothing_is_changed(feature_map):
    with small_values():
        pass
    assert torch.tensor([1], device=META).is_meta


@pytest.mark.parametrize('context', [small_values, ShapesAtOnce])
@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    'run',
    [
        nn.BatchNorm2d(8).eval(),
        nn.BatchNorm2d(8),
        nn.BatchNorm2d(8, affine=False).eval(),
        lambda x: F.interpolate(x, size=(5, 7), mode='bilinear'),
        lambda x: F.interpolate(x, scale_factor=1.5, mode='bilinear'),
        lambda x: F.interpolate(x, size=(5, 7), mode='bicubic'),
        lambda x: sample(x, (2, 3, 5, 2)),
        lambda x: F.group_norm(x.contiguous(), 2),
        lambda x: F.group_norm(x.contiguous(), 2, x.new_ones(8), x.new_ones(8)),
        nn.AdaptiveAvgPool2d(1),
        lambda x: x.mean((-1, 2)),
        lambda x: x.mean(1, keepdim=True),
        lambda x: x.contiguous().roll((1, -2), (2, 3)),
        lambda x: x + x,
        lambda x: x - x.mT.mT.contiguous(),
        lambda x: x * 2,
        lambda x: x / 2.5,
        lambda x: 1 - x,
        lambda x: x**2,
        lambda x: x * x.new_ones(8, 1, 1),
        lambda x: x * x.new_ones(2, 8, 1, 1),
        lambda x: x.new_ones(1, 8, 1, 1) * x,
        lambda x: x.new_ones(6) / x[:, :1],
        lambda x: x[:, :, ::2] + x[:, :, 1::2],
        lambda x: x[:, :1, :, :1] * x[0, :, :1],
        lambda x: x.maximum(x),
        lambda x: x.clamp(0, 1),
        lambda x: x.clamp(max=0.5),
        lambda x: torch.where(x > 0, x, x),
        lambda x: torch.where(x > 0, x, 0),
        lambda x: F.normalize(x, dim=1),
    ],
)
def test_a_shape_is_that_of_the_operation_itself(context, layout, dtype, run):
    maps = torch.zeros(2, 8, 4, 6, dtype=dtype).to(memory_format=layout)
    wanted = run(maps)
    on_meta = copy.deepcopy(run).to(META) if isinstance(run, nn.Module) else run
    maps = maps.to(META)
    with context():
        found = on_meta(maps)
    assert found.is_meta
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    assert found.stride() == wanted.stride()


@pytest.mark.parametrize('context', [small_values, ShapesAtOnce])
@pytest.mark.parametrize('flat', [True, False], ids=['rows', 'permuted maps'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    'run',
    [
        nn.LayerNorm(8),
        nn.LayerNorm((5, 8)),
        nn.LayerNorm(8, elementwise_affine=False),
        nn.Linear(8, 3),
        nn.GELU(),
        nn.GELU('tanh'),
        nn.Hardswish(),
        nn.Hardswish(inplace=True),
        nn.Hardsigmoid(),
        nn.Linear(8, 3, bias=False),
        nn.ReLU(),
        nn.ReLU6(),
        nn.ReLU6(inplace=True),
        nn.LeakyReLU(),
        nn.LeakyReLU(inplace=True),
        nn.ELU(),
        nn.Mish(),
        nn.Softplus(),
        lambda x: x + x.new_ones(8),
        lambda x: F.scaled_dot_product_attention(x, x, x),
    ],
)
def test_a_layer_of_a_transformer_is_that_of_the_operation(context, flat, dtype, run):
    rows = (
        torch.zeros(10, 5, 8) if flat else torch.zeros(2, 8, 4, 5).permute(0, 2, 3, 1)
    )
    rows = rows.to(dtype)
    if isinstance(run, nn.Module):
        run = copy.deepcopy(run).to(dtype)
    wanted = run(rows)
    rows = rows.to(META)
    run = run.to(META) if isinstance(run, nn.Module) else run
    with context():
        found = run(rows)
    assert found.is_meta
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    assert found.stride() == wanted.stride()


@pytest.mark.parametrize(
    'run',
    [
        nn.BatchNorm2d(4, device=META).eval(),
        lambda x: F.interpolate(x, size=(0, 4), mode='bilinear'),
        nn.LayerNorm(8, device=META),
        nn.LayerNorm((), device=META),
        nn.Linear(8, 3, device=META),
        nn.GELU('tan'),
        lambda x: sample(x, (2, 3, 5, 2)),
        lambda x: F.layer_norm(x.long(), (16,)),
        lambda x: F.group_norm(x, 3),
        nn.GroupNorm(2, 4, device=META),
        lambda x: x.mean((1, 1)),
        lambda x: x.roll((1, 1), (2, 4)),
        lambda x: x + x.new_empty(3),
        lambda x: x * x.new_empty(8, 16, 15),
        lambda x: x.clamp(),
        lambda x: torch.where(x > 0, x, x[..., :3]),
        lambda x: F.linear(x, x.new_empty(3, 16), x.new_empty(4)),
    ],
)
def test_what_the_operation_refuses_is_refused(feature_map, run):
    with (
        small_values(),
        pytest.raises((RuntimeError, ValueError, ZeroDivisionError, IndexError)),
    ):
        run(feature_map)
