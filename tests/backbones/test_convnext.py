"""ConvNeXt: parity with mmpretrain's, arguments, freezing and depths.

What holds for every backbone is in test_contract.py.
"""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from plugin.backbones.convnext import ARCHS, ConvNeXt
from plugin.measure.build import build_on_meta
from plugin.spec import FeatureSpec


def pair(arch, **theirs):
    """Our ConvNeXt and mmpretrain's with the same random weights, in eval mode."""
    from mmpretrain.models.backbones import ConvNeXt as MMPretrainConvNeXt

    reference = MMPretrainConvNeXt(
        arch=arch,
        out_indices=[0, 1, 2, 3],
        layer_scale_init_value=1.0,
        **{'gap_before_final_norm': False, **theirs},
    )
    generator = torch.Generator().manual_seed(0)
    for param in reference.parameters():
        param.data.normal_(std=0.1, generator=generator)
    ours = ConvNeXt(
        arch=arch,
        layer_scale_init_value=1.0,
        gap_before_final_norm=reference.gap_before_final_norm,
    )
    ours.load_state_dict(reference.state_dict(), strict=True)
    reference.eval()
    return ours.eval(), reference


@pytest.mark.parametrize('arch', ['atto', 'tiny'])
@torch.no_grad()
def test_maps_equal_those_of_mmpretrain(arch):
    ours, reference = pair(arch)
    x = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    for got, expected in zip(ours(x), reference(x), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_pooled_features_equal_those_of_mmpretrain():
    ours, reference = pair('atto', gap_before_final_norm=True)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    got = ours(x)
    assert [f.shape for f in got] == [(2, 40), (2, 80), (2, 160), (2, 320)]
    for ours_, expected in zip(got, reference(x), strict=True):
        torch.testing.assert_close(ours_, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('with_cp', [False, True])
def test_gradients_equal_those_of_mmpretrain(with_cp):
    ours, reference = (model.double() for model in pair('atto'))
    for block in (block for stage in ours.stages for block in stage):
        block.with_cp = with_cp
    x = torch.randn(
        2, 3, 64, 96, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    for model in (ours, reference):
        sum(m.sin().mean() for m in model(x)).backward()
    expected = dict(reference.named_parameters())
    for name, param in ours.named_parameters():
        torch.testing.assert_close(
            param.grad, expected[name].grad, rtol=1e-9, atol=1e-9, msg=f'{name} differs'
        )


def clones(depth, channels_last=False):
    """Copies of whole tensors in a step of a ConvNeXt with ``depth`` blocks a stage."""
    arch = dict(depths=[depth, depth], channels=[8, 16])
    model = ConvNeXt(arch, out_indices=(0, 1))
    x = torch.randn(2, 3, 32, 32)
    if channels_last:
        model, x = (t.to(memory_format=torch.channels_last) for t in (model, x))
    with profile(activities=[ProfilerActivity.CPU]) as prof:
        sum(m.square().mean() for m in model(x)).backward()
    return sum(event.name == 'aten::clone' for event in prof.events())


@pytest.mark.parametrize('channels_last', [False, True])
def test_no_block_copies_a_map(channels_last):
    # Stem, downsample layers and output norms may: their number does not grow.
    assert clones(1, channels_last) == clones(3, channels_last)


def test_maps_can_be_viewed():
    for m in ConvNeXt(arch='atto')(torch.zeros(2, 3, 64, 64)):
        m.view(-1)


@pytest.mark.parametrize('arch', ARCHS)
def test_state_dict_has_mmpretrains_names_and_shapes(arch):
    from mmpretrain.models.backbones import ConvNeXt as MMPretrainConvNeXt

    reference = build_on_meta(
        lambda: MMPretrainConvNeXt(arch=arch, out_indices=[0, 1, 2, 3])
    )
    ours = build_on_meta(lambda: ConvNeXt(arch=arch))
    assert {k: v.shape for k, v in ours.state_dict().items()} == {
        k: v.shape for k, v in reference.state_dict().items()
    }


@pytest.mark.parametrize('arch', ['atto', 'tiny', 'base'])
def test_layer_depths_equal_those_of_mmpretrain(arch):
    from mmpretrain.models.backbones import ConvNeXt as MMPretrainConvNeXt

    reference = build_on_meta(
        lambda: MMPretrainConvNeXt(arch=arch, out_indices=[0, 1, 2, 3])
    )
    ours = build_on_meta(lambda: ConvNeXt(arch=arch))
    names = ['backbone.' + name for name, _ in ours.named_parameters()]
    for name in [*names, 'neck.conv.weight']:
        expected = reference.get_layer_depth(name, 'backbone.')
        assert ours.get_layer_depth(name, 'backbone.') == expected, name


def test_a_dict_is_an_arch():
    model = ConvNeXt(
        arch=dict(depths=[1, 1, 2], channels=[8, 16, 24]), out_indices=(-2, -1)
    )
    assert model.feature_spec() == FeatureSpec(channels=(16, 24), strides=(8, 16))
    assert [m.shape for m in model(torch.zeros(1, 3, 64, 64))] == [
        (1, 16, 8, 8),
        (1, 24, 4, 4),
    ]


@pytest.mark.parametrize(
    'arguments, message',
    [
        (dict(arch='tny'), "arch='tny' is not a ConvNeXt; choose one of atto, femto"),
        (dict(arch=dict(depths=[1])), 'must have exactly the keys depths and channels'),
        (dict(arch='atto', out_indices=(1, 4)), 'ConvNeXt atto has stages 0 to 3'),
        (dict(arch='atto', out_indices=(2, 1)), r'write out_indices=\(1, 2\)'),
        (dict(arch='atto', out_indices=(1, 1)), r'write out_indices=\(1,\)'),
        (dict(arch='atto', out_indices=()), 'asks for no map'),
        (dict(arch='atto', frozen_stages=5), 'ConvNeXt atto has 4 stages'),
    ],
)
def test_a_wrong_argument_says_what_to_write(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConvNeXt(**arguments)


@pytest.mark.parametrize(
    'frozen_stages, expected',
    [
        (-1, set()),
        (0, {'downsample_layers.0'}),
        (1, {'downsample_layers.0', 'stages.0', 'norm0'}),
        (
            2,
            {
                *('downsample_layers.0', 'downsample_layers.1'),
                *('stages.0', 'stages.1', 'norm0', 'norm1'),
            },
        ),
    ],
)
def test_frozen_stages_counts_the_stem_as_zero(frozen_stages, expected):
    model = ConvNeXt(arch='atto', frozen_stages=frozen_stages).train()
    frozen = {
        name if name.startswith('norm') else '.'.join(name.split('.')[:2])
        for name, module in model.named_modules()
        if list(module.parameters(recurse=False)) and not module.training
    }
    assert frozen == expected
    still = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert all(any(n.startswith(f + '.') for f in expected) for n in still)
    assert len({n.split('.')[0] for n in still}) == len(
        {e.split('.')[0] for e in expected}
    )


def test_with_cp_changes_memory_and_not_gradients():
    x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    gradients = []
    for with_cp in (False, True):
        torch.manual_seed(0)
        model = ConvNeXt(arch='atto', with_cp=with_cp)
        sum(m.square().mean() for m in model(x)).backward()
        gradients.append([p.grad for p in model.parameters()])
    for plain, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, recomputed)


def test_with_cp_recomputes_blocks(monkeypatch):
    from plugin.backbones import convnext

    calls = []
    monkeypatch.setattr(
        convnext, 'checkpoint', lambda f, x, **_: calls.append(f) or f(x)
    )
    ConvNeXt(arch='atto', with_cp=True)(torch.zeros(1, 3, 32, 32))
    assert len(calls) == sum(ARCHS['atto'][0])


def test_stochastic_depth_grows_linearly_to_the_rate_given():
    model = ConvNeXt(arch='atto', drop_path_rate=0.11)
    rates = [block.drop_path.p for stage in model.stages for block in stage]
    assert rates == pytest.approx([0.01 * i for i in range(12)])


def test_init_weights_draws_a_truncated_normal():
    model = ConvNeXt(arch='tiny')
    model.init_weights()
    weight = model.stages[3][0].pointwise_conv1.weight
    assert weight.std().item() == pytest.approx(0.02, rel=0.01)
    assert model.stages[3][0].pointwise_conv1.bias.abs().max() == 0
