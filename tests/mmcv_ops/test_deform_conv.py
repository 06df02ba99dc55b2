"""Deformable convolutions of mmcv.ops, first and second version."""

import mmcv.ops
import pytest
import torch
import torchvision
from mmcv.ops import DeformConv2d, ModulatedDeformConv2d
from mmengine.registry import MODELS
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import conv2d, unfold

# Stride, padding and dilation that differ from one axis to the other.
GEOMETRY = dict(stride=(2, 1), padding=(1, 2), dilation=(1, 2))
KERNEL = (3, 2)
GROUPS = [(1, 1), (2, 1), (1, 2), (2, 4)]


def tensors(
    group: int, deform_groups: int, device: str = 'cpu', **options: object
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Input, offset, weight, mask and bias that fit GEOMETRY."""
    options = dict(device=device, **options)
    taps = KERNEL[0] * KERNEL[1] * deform_groups
    return (
        torch.randn(2, 4, 5, 6, **options),
        torch.randn(2, 2 * taps, 3, 8, **options) * 2,
        torch.randn(6, 4 // group, *KERNEL, **options),
        torch.rand(2, taps, 3, 8, **options),
        torch.randn(6, **options),
    )


@pytest.mark.parametrize(('group', 'deform_groups'), GROUPS)
def test_deform_conv_is_torchvisions(group, deform_groups, device):
    x, offset, weight, _, _ = tensors(group, deform_groups, device)
    layer = DeformConv2d(
        4, 6, KERNEL, **GEOMETRY, groups=group, deform_groups=deform_groups
    )
    layer.weight.data = weight
    expected = torchvision.ops.deform_conv2d(x, offset, weight, **GEOMETRY)
    torch.testing.assert_close(layer(x, offset), expected)


@pytest.mark.parametrize(('group', 'deform_groups'), GROUPS)
@pytest.mark.parametrize('biased', [True, False])
def test_modulated_deform_conv_is_torchvisions(group, deform_groups, biased, device):
    x, offset, weight, mask, bias = tensors(group, deform_groups, device)
    layer = ModulatedDeformConv2d(
        4, 6, KERNEL, **GEOMETRY, groups=group, deform_groups=deform_groups, bias=biased
    )
    layer.weight.data = weight
    if biased:
        layer.bias.data = bias
    expected = torchvision.ops.deform_conv2d(
        x, offset, weight, bias if biased else None, **GEOMETRY, mask=mask
    )
    torch.testing.assert_close(layer(x, offset, mask), expected)


@pytest.mark.parametrize('group', [1, 2])
def test_without_offsets_it_is_an_ordinary_convolution(group):
    x, offset, weight, mask, bias = tensors(group, 1)
    offset, ones = torch.zeros_like(offset), torch.ones_like(mask)
    plain = conv2d(x, weight, **GEOMETRY, groups=group)
    args = (*GEOMETRY.values(), group, 1)
    deformed = mmcv.ops.deform_conv2d(x, offset, weight, *args)
    modulated = mmcv.ops.modulated_deform_conv2d(x, offset, ones, weight, bias, *args)
    torch.testing.assert_close(deformed, plain)
    torch.testing.assert_close(modulated, plain + bias[:, None, None])


def test_offsets_are_y_before_x_tap_by_tap():
    # One tap alone is moved, by one row and two columns, and so reads another pixel.
    x = torch.arange(49.0).view(1, 1, 7, 7)
    offset = torch.zeros(1, 18, 5, 5)
    offset[:, 2 * 5], offset[:, 2 * 5 + 1] = 1, 2
    weight = torch.zeros(1, 1, 3, 3)
    weight[0, 0, 1, 2] = 1
    output = mmcv.ops.deform_conv2d(x, offset, weight, 1, 0, 1, 1, 1, False, 1)[0, 0]
    assert torch.equal(output[:, :3], x[0, 0, 2:7, 4:7])


def test_a_mask_scales_its_tap():
    x, offset, weight, mask, _ = tensors(1, 1)
    args = (weight, None, *GEOMETRY.values())
    output = mmcv.ops.modulated_deform_conv2d(x, offset * 0, mask, *args)
    columns = unfold(x, KERNEL, GEOMETRY['dilation'], (1, 2), GEOMETRY['stride'])
    columns = columns.view(2, 4, 6, 24) * mask.view(2, 1, 6, 24)
    expected = torch.einsum('oct,nctp->nop', weight.flatten(2), columns)
    torch.testing.assert_close(output.flatten(2), expected)


@pytest.mark.parametrize(('group', 'deform_groups'), GROUPS)
def test_deform_conv_has_the_right_gradient(group, deform_groups, device, nondet_tol):
    args = tensors(group, deform_groups, device, dtype=torch.double)[:3]
    layer = (*GEOMETRY.values(), group, deform_groups)
    assert gradcheck(
        lambda *x: mmcv.ops.deform_conv2d(*x, *layer),
        [tensor.requires_grad_() for tensor in args],
        fast_mode=True,
        nondet_tol=nondet_tol,
    )


@pytest.mark.parametrize(('group', 'deform_groups'), GROUPS)
@pytest.mark.parametrize('biased', [True, False])
def test_modulated_deform_conv_has_the_right_gradient(
    group, deform_groups, biased, device, nondet_tol
):
    x, offset, weight, mask, bias = (
        tensor.requires_grad_()
        for tensor in tensors(group, deform_groups, device, dtype=torch.double)
    )
    layer = (*GEOMETRY.values(), group, deform_groups)
    inputs = [x, offset, mask, weight, *([bias] if biased else [])]
    assert gradcheck(
        lambda *x: mmcv.ops.modulated_deform_conv2d(
            *x, *([] if biased else [None]), *layer
        ),
        inputs,
        fast_mode=True,
        nondet_tol=nondet_tol,
    )


@pytest.mark.parametrize('frozen', [0, 1, 2])
def test_what_needs_no_gradient_gets_none(frozen):
    args = list(tensors(1, 1)[:3])
    for i, tensor in enumerate(args):
        tensor.requires_grad_(i != frozen)
    mmcv.ops.deform_conv2d(*args, *GEOMETRY.values()).sum().backward()
    assert [tensor.grad is not None for tensor in args] == [
        i != frozen for i in range(3)
    ]


def test_the_gradients_of_input_and_weight_take_one_run_of_the_kernel(monkeypatch):
    from mmcv._ext_ops.deform_conv import Convolution

    runs = []
    kernel = Convolution.backward
    monkeypatch.setattr(
        Convolution, 'backward', lambda *args: runs.append(1) or kernel(*args)
    )
    args = [tensor.requires_grad_() for tensor in tensors(1, 1)[:3]]
    mmcv.ops.deform_conv2d(*args, *GEOMETRY.values()).sum().backward()
    assert runs == [1]


def test_a_graph_that_is_kept_gives_each_gradient_its_own():
    args = [tensor.requires_grad_() for tensor in tensors(1, 1)[:3]]
    output = mmcv.ops.deform_conv2d(*args, *GEOMETRY.values())
    expected = torchvision.ops.deform_conv2d(*args, **GEOMETRY)
    grad = torch.randn_like(output)

    def agree(*wanted: int) -> None:
        inputs = [args[i] for i in wanted]
        options = dict(grad_outputs=grad, retain_graph=True)
        torch.testing.assert_close(
            torch.autograd.grad(output, inputs, **options),
            torch.autograd.grad(expected, inputs, **options),
        )

    agree(0)
    grad.neg_()
    agree(2)
    grad = torch.randn_like(output)
    agree(0, 1, 2)


def test_im2col_step_has_no_part_in_the_result():
    x, offset, weight, _, _ = tensors(1, 1)
    results = []
    for step in (1, 2):
        leaves = [t.clone().requires_grad_() for t in (x, offset, weight)]
        out = mmcv.ops.deform_conv2d(*leaves, *GEOMETRY.values(), 1, 1, False, step)
        results.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
    torch.testing.assert_close(*results)


@pytest.mark.parametrize(
    ('name', 'extra'), [('DCN', {}), ('DCNv2', {'bias': False})], ids=['DCN', 'DCNv2']
)
def test_a_tap_that_starts_on_the_padding_gets_mmcvs_gradient(name, extra):
    # Packs start at offset 0. On a map of ones only a tap beside the edge would feel
    # a shift: those on the padding read at exactly -1 or 4, and have derivative 0.
    layer = MODELS.build(
        dict(
            type=name, in_channels=1, out_channels=1, kernel_size=3, padding=1, **extra
        )
    )
    torch.nn.init.ones_(layer.weight)
    layer(torch.ones(1, 1, 4, 4)).sum().backward()
    taps = 9
    grad = layer.conv_offset.bias.grad[: 2 * taps].view(taps, 2)
    scale = 0.5 if name == 'DCNv2' else 1
    # The derivative is one-sided, to larger coordinates: -1 where a tap's next pixel
    # is the padding. That is its last row or column on the map: 4 output positions,
    # 3 for a tap whose other axis is a pixel aside.
    expected = []
    for row in (-1, 0, 1):
        for column in (-1, 0, 1):
            on_rows, on_columns = 4 - abs(row), 4 - abs(column)
            down = 0 if row < 0 else -on_columns
            right = 0 if column < 0 else -on_rows
            expected.append([down * scale, right * scale])
    assert grad.tolist() == expected


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_kept(dtype, device):
    x, offset, weight, mask, bias = (
        tensor.to(dtype).requires_grad_() for tensor in tensors(2, 2, device)
    )
    layer = (*GEOMETRY.values(), 2, 2)
    output = mmcv.ops.modulated_deform_conv2d(x, offset, mask, weight, bias, *layer)
    plain = mmcv.ops.deform_conv2d(x, offset, weight, *layer)
    (output + plain).sum().backward()
    assert {t.dtype for t in (output, plain, x.grad, weight.grad)} == {dtype}
    inputs = (t.detach().float() for t in (x, offset, weight))
    exact = mmcv.ops.deform_conv2d(*inputs, *layer)
    torch.testing.assert_close(plain, exact.to(dtype))


def test_an_input_smaller_than_the_kernel_is_padded():
    layer = DeformConv2d(1, 1, 3, padding=1)
    torch.nn.init.ones_(layer.weight)
    output = layer(torch.ones(1, 1, 2, 2), torch.zeros(1, 18, 2, 2))
    assert output.tolist() == [[[[4, 4], [4, 4]]]]


@pytest.mark.parametrize('modulated', [False, True])
def test_offsets_of_another_number_of_groups_are_refused(modulated):
    x, offset, weight, mask, bias = tensors(1, 2)
    with pytest.raises(ValueError, match='offset has 24 channels; deform_groups=1'):
        if modulated:
            mmcv.ops.modulated_deform_conv2d(x, offset, mask, weight, bias)
        else:
            mmcv.ops.deform_conv2d(x, offset, weight)


def test_a_weight_of_another_number_of_groups_is_refused():
    x, offset, weight, _, _ = tensors(2, 1)
    with pytest.raises(ValueError, match='input has 4 channels but weight takes 2'):
        mmcv.ops.deform_conv2d(x, offset, weight, *GEOMETRY.values(), 1, 1)
