"""Weights of other projects give the outputs that they gave there.

Each reference is built small, with random weights, and its state dict is the
checkpoint.
"""

import re
from itertools import product

import mmdet.models  # noqa: F401
import mmpretrain.models  # noqa: F401
import mmseg.models  # noqa: F401
import pytest
import safetensors.torch
import timm
import torch
import torchvision
from torch import nn
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.convnext import ConvNeXt as TorchvisionConvNeXt

import plugin.registry  # noqa: F401
from plugin.weights.conventions import origin_of, proposals
from plugin.weights.matching.fit import Proposals, fit

# Windows smaller than every map: mmdet's Swin shifts also where one window is all.
SWIN = dict(embed_dims=12, depths=(2, 1, 1, 2), num_heads=(1, 2, 2, 4), window_size=2)
PRETRAIN_SWIN = dict(
    arch={
        k: list(v) if k != 'embed_dims' else v for k, v in SWIN.items() if k[0] != 'w'
    },
    window_size=2,
    img_size=128,
    out_indices=(0, 1, 2, 3),
)
VIT = dict(num_layers=2, num_heads=2, embed_dims=24)
PRETRAIN_VIT = dict(
    img_size=64,
    patch_size=16,
    out_type='featmap',
    arch=dict(feedforward_channels=96, **VIT),
)
SEG_VIT = dict(
    img_size=64,
    patch_size=16,
    patch_bias=True,
    final_norm=True,
    norm_cfg=dict(type='LN', eps=1e-6),
    **VIT,
)


def varied(module):
    """``module`` in eval mode, with no weight as a constructor makes it."""
    torch.manual_seed(0)
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point() and not name.endswith('running_var'):
            nn.init.normal_(tensor, std=0.2)
            if name.endswith(('norm.weight', 'norm1.weight', 'norm2.weight')):
                tensor.add_(1)
    module.eval()  # Returns None in OpenMMLab.
    return module


def timm_model(name, **kwargs):
    return varied(timm.create_model(name, **kwargs))


def timm_swin(name='swin_tiny_patch4_window7_224', **kwargs):
    shape = dict(embed_dim=12, depths=SWIN['depths'], num_heads=SWIN['num_heads'])
    return timm_model(name, img_size=128, window_size=2, **shape, **kwargs)


def timm_vit(name='vit_tiny_patch16_224', **kwargs):
    shape = dict(img_size=64, depth=2, num_heads=2, embed_dim=24)
    return timm_model(name, **shape, **kwargs)


def torchvision_convnext():
    blocks = [
        CNBlockConfig(a, b, n)
        for a, b, n in ((8, 16, 2), (16, 24, 1), (24, 32, 2), (32, None, 1))
    ]
    return varied(TorchvisionConvNeXt(blocks))


def torchvision_swin():
    model = torchvision.models.SwinTransformer(
        [4, 4], 12, list(SWIN['depths']), list(SWIN['num_heads']), [2, 2]
    )
    return varied(model)


def torchvision_vit():
    return varied(torchvision.models.VisionTransformer(64, 16, 2, 2, 24, 96))


# What the backbone's last map is there. (N, 3, H, W) -> (N, C, h, w)


def channels_first(x):
    return x.permute(0, 3, 1, 2)


def timm_last(model, image):
    maps = model.forward_features(image)
    if hasattr(model, 'head') and hasattr(model.head, 'norm'):
        maps = model.head.norm(maps)  # ConvNeXt
    if maps.ndim == 3:
        maps = model.forward_intermediates(image, indices=1, norm=True)[1][-1]
    return channels_first(maps) if maps.shape[1] == maps.shape[2] else maps


def torchvision_last(model, image):
    if hasattr(model, 'encoder'):
        tokens = model._process_input(image)
        token = model.class_token.expand(len(tokens), -1, -1)
        tokens = model.encoder(torch.cat([token, tokens], 1))[:, 1:]
        return tokens.transpose(1, 2).unflatten(2, (4, 4))
    maps = model.features(image)
    if hasattr(model, 'norm'):
        return channels_first(model.norm(maps))
    return model.classifier[0](maps)


SMALL_CONVNEXT = dict(arch=dict(depths=[2, 1, 2, 1], channels=[8, 16, 24, 32]))
CASES = [
    (lambda: timm_model('convnext_atto'), 'plugin.ConvNeXt', dict(arch='atto')),
    (
        lambda: timm_model('convnext_atto'),
        'mmpretrain.ConvNeXt',
        dict(arch='atto', gap_before_final_norm=False),
    ),
    (
        lambda: timm_model('convnextv2_atto'),
        'mmpretrain.ConvNeXt',
        dict(
            arch='atto',
            gap_before_final_norm=False,
            use_grn=True,
            layer_scale_init_value=0.0,
        ),
    ),
    (torchvision_convnext, 'plugin.ConvNeXt', SMALL_CONVNEXT),
    (timm_swin, 'mmdet.SwinTransformer', SWIN),
    (timm_swin, 'mmseg.SwinTransformer', SWIN),
    (timm_swin, 'mmpretrain.SwinTransformer', PRETRAIN_SWIN),
    (torchvision_swin, 'mmdet.SwinTransformer', SWIN),
    (torchvision_swin, 'mmpretrain.SwinTransformer', PRETRAIN_SWIN),
    (
        lambda: timm_swin('swinv2_tiny_window8_256'),
        'mmpretrain.SwinTransformerV2',
        dict(
            PRETRAIN_SWIN, arch=dict(PRETRAIN_SWIN['arch'], extra_norm_every_n_blocks=0)
        ),
    ),
    (timm_vit, 'mmpretrain.VisionTransformer', PRETRAIN_VIT),
    (timm_vit, 'mmseg.VisionTransformer', SEG_VIT),
    (torchvision_vit, 'mmpretrain.VisionTransformer', PRETRAIN_VIT),
    (torchvision_vit, 'mmseg.VisionTransformer', SEG_VIT),
    (
        lambda: timm_vit('deit3_small_patch16_224', no_embed_class=False),
        'mmpretrain.VisionTransformer',
        dict(PRETRAIN_VIT, layer_scale_init_value=1.0),
    ),
    (lambda: timm_model('resnet18'), 'mmdet.ResNet', dict(depth=18)),
    (
        lambda: varied(torchvision.models.resnet50()),
        'mmpretrain.ResNet',
        dict(depth=50),
    ),
    (
        lambda: timm_model('resnet26d'),
        'plugin.TIMMBackbone',
        dict(model_name='resnet26d'),
    ),
    (
        lambda: timm_model('resnet50d'),
        'mmseg.ResNetV1d',
        dict(depth=50, dilations=(1, 1, 1, 1), strides=(1, 2, 2, 2)),
    ),
    (
        lambda: timm_model('resnet50d'),
        'mmpretrain.ResNetV1d',
        dict(depth=50, out_indices=(3,)),
    ),
    (
        lambda: varied(torchvision.models.mobilenet_v3_small()),
        'mmpretrain.MobileNetV3',
        dict(arch='small', out_indices=(12,)),
    ),
    (
        lambda: timm_model('regnetx_004'),
        'mmpretrain.RegNet',
        dict(arch='regnetx_400mf'),
    ),
    (
        lambda: varied(torchvision.models.regnet_x_800mf()),
        'mmdet.RegNet',
        dict(arch='regnetx_800mf'),
    ),
]


def _name(value):
    return value if isinstance(value, str) else ''


@pytest.mark.parametrize(('reference', 'target', 'args'), CASES, ids=_name)
def test_the_last_map_is_that_of_the_other_project(
    tmp_path, build, reference, target, args
):
    model = reference()
    torch.save({'model': model.state_dict()}, tmp_path / 'a.pth')
    backbone = build(target, tmp_path / 'a.pth', **args)
    image = torch.rand(2, 3, 64, 64) if 'Vi' in target else torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        last = backbone(image)[-1]
        if isinstance(model, torchvision.models.MobileNetV3):
            expected = model.features(image)
        elif isinstance(model, torchvision.models.RegNet):
            expected = model.trunk_output(model.stem(image))
        elif isinstance(model, torchvision.models.ResNet):
            for layer in list(model.children())[:-2]:
                image = layer(image)
            expected = image
        elif type(model).__module__.startswith('timm.'):
            expected = timm_last(model, image)
        else:
            expected = torchvision_last(model, image)
    assert last.shape == expected.shape and expected.std() > 0.01
    torch.testing.assert_close(last, expected, atol=1e-5, rtol=1e-5)


# The papers' repositories can't be built here. Their names, and timm's own way of
# taking them as a second opinion.

CONVNEXT_REPOSITORY = """
    downsample_layers.{stage}.{0,1}.{weight,bias}
    stages.{stage}.{block}.{gamma,dwconv.weight,dwconv.bias,norm.weight,norm.bias}
    stages.{stage}.{block}.{pwconv1,pwconv2}.{weight,bias}
    norm.{weight,bias}
    head.{weight,bias}
"""
SWIN_REPOSITORY = """
    patch_embed.{proj,norm}.{weight,bias}
    layers.{stage}.blocks.{block}.{norm1,norm2,attn.qkv,attn.proj}.{weight,bias}
    layers.{stage}.blocks.{block}.{mlp.fc1,mlp.fc2}.{weight,bias}
    layers.{stage}.blocks.{block}.attn.{relative_position_bias_table,relative_position_index}
    layers.{merging}.downsample.{reduction.weight,norm.weight,norm.bias}
    norm.{weight,bias}
    head.{weight,bias}
"""


def names_of(table, depths):
    """The names that a table of patterns stands for."""
    for line in table.split():
        stages = {'{stage}': range(len(depths)), '{merging}': range(len(depths) - 1)}
        line = line.replace('{', '<').replace('}', '>')
        found = [line]
        for stage in ('<stage>', '<merging>'):
            values = stages[stage.replace('<', '{').replace('>', '}')]
            found = (
                [f.replace(stage, str(i)) for f in found for i in values]
                if stage in line
                else found
            )
        if '<block>' in line:
            found = [
                f.replace('<block>', str(b))
                for f in found
                for b in range(depths[int(re.search(r'\.(\d+)\.', f)[1])])
            ]
        for f in found:
            parts = [p.split(',') for p in re.findall('<(.*?)>', f)]
            template = re.sub('<.*?>', '{}', f)
            yield from (template.format(*chosen) for chosen in product(*parts))


def in_the_names_of_the_repository(table, depths, model, translate):
    """The weights of a timm ``model`` under the repository's names."""
    state = model.state_dict()
    names = list(names_of(table, depths))
    assert len(set(names)) == len(names)
    return {n: state[translate(n)] for n in names if translate(n) is not None}


def convnext_in_timm(name):
    name = re.sub(r'^downsample_layers\.0\.', 'stem.', name)
    name = re.sub(r'^downsample_layers\.(\d)', r'stages.\1.downsample', name)
    name = re.sub(r'^stages\.(\d)\.(\d+\.)', r'stages.\1.blocks.\2', name)
    name = name.replace('dwconv', 'conv_dw').replace('pwconv', 'mlp.fc')
    return (
        name.replace('head', 'head.fc')
        if 'head' in name
        else re.sub('^norm', 'head.norm', name)
    )


def swin_in_timm(name):
    if name.endswith('relative_position_index'):
        return None
    name = re.sub(
        r'^layers\.(\d)\.downsample',
        lambda m: f'layers.{int(m[1]) + 1}.downsample',
        name,
    )
    return name.replace('head', 'head.fc')


@pytest.mark.parametrize('conv_mlp', [False, True])
def test_the_convnext_repositorys_weights_give_timms_outputs(tmp_path, build, conv_mlp):
    model = timm_model('convnext_atto', conv_mlp=conv_mlp)
    theirs = in_the_names_of_the_repository(
        CONVNEXT_REPOSITORY, (2, 2, 6, 2), model, convnext_in_timm
    )
    assert len(theirs) == len(model.state_dict())
    torch.save({'model': theirs}, tmp_path / 'a.pth')
    backbone = build('plugin.ConvNeXt', tmp_path / 'a.pth', arch='atto')
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            backbone(image)[-1], timm_last(model, image), atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize(
    ('target', 'args'),
    [
        ('mmdet.SwinTransformer', dict(convert_weights=True)),
        ('mmdet.SwinTransformer', dict(convert_weights=False)),
        ('mmseg.SwinTransformer', {}),
    ],
)
def test_the_swin_repositorys_weights_give_timms_outputs(
    tmp_path, build, lines, target, args
):
    model = timm_swin()
    theirs = in_the_names_of_the_repository(
        SWIN_REPOSITORY, SWIN['depths'], model, swin_in_timm
    )
    assert len(theirs) == len(model.state_dict())
    for i in range(4):
        index = torch.zeros(4, 4, dtype=torch.long)
        theirs[f'layers.{i}.blocks.0.attn.relative_position_index'] = index
    torch.save({'model': theirs}, tmp_path / 'a.pth')
    backbone = build(target, tmp_path / 'a.pth', **SWIN, **args)
    assert ', 2 unexpected, 0 mismatched tensors' in lines[0].getMessage()
    image = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        torch.testing.assert_close(
            backbone(image)[-1], timm_last(model, image), atol=1e-5, rtol=1e-5
        )


def test_timms_scheme_leads_to_the_same_outputs(hub, build, lines):
    model = timm_model('convnext_atto')
    contents = safetensors.torch.save(model.state_dict())
    hub('timm/convnext_atto.d2_in1k', {'model.safetensors': contents})
    backbone = build('plugin.ConvNeXt', 'timm://convnext_atto', arch='atto')
    assert "are from timm://convnext_atto (in timm's ConvNeXt names)" in (
        lines[0].getMessage()
    )
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            backbone(image)[-1], timm_last(model, image), atol=1e-5, rtol=1e-5
        )


# OpenMMLab's own, from one library to another


def test_mmpretrains_swin_loads_into_mmdets(tmp_path, build, lines):
    source = varied(build('mmpretrain.SwinTransformer', **PRETRAIN_SWIN))
    weights = {f'backbone.{k}': v for k, v in source.state_dict().items()}
    torch.save(
        {'state_dict': weights | {'head.fc.bias': torch.ones(3)}}, tmp_path / 'a'
    )
    backbone = build('mmdet.SwinTransformer', tmp_path / 'a', 'backbone.', **SWIN)
    assert '100.0 %' in lines[0].getMessage()
    image = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        for ours, theirs in zip(backbone(image), source(image), strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_mmpretrains_vit_loads_into_mmsegs(tmp_path, build):
    source = varied(build('mmpretrain.VisionTransformer', **PRETRAIN_VIT))
    weights = {f'backbone.{k}': v for k, v in source.state_dict().items()}
    torch.save({'state_dict': weights}, tmp_path / 'a.pth')
    backbone = build('mmseg.VisionTransformer', tmp_path / 'a.pth', **SEG_VIT)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            backbone(image)[-1], source(image)[-1], atol=1e-5, rtol=1e-5
        )


@pytest.mark.parametrize('target', ['mmseg.BEiT', 'mmpretrain.BEiTViT'])
def test_beit_of_timm_gives_the_same_map(tmp_path, build, target):
    model = timm_vit('beit_base_patch16_224')
    torch.save(model.state_dict(), tmp_path / 'a.pth')
    args = dict(img_size=(64, 64), **VIT)
    if target == 'mmpretrain.BEiTViT':
        args = dict(PRETRAIN_VIT, final_norm=False)
    backbone = build(target, tmp_path / 'a.pth', **args)
    seen = []
    model.blocks[-1].register_forward_hook(lambda *a: seen.append(a[-1]))
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        model(image)
        expected = seen[0][:, 1:].transpose(1, 2).unflatten(2, (4, 4))
        torch.testing.assert_close(backbone(image)[-1], expected, atol=1e-5, rtol=1e-5)


def test_a_keys_bias_that_beit_lacks_makes_no_difference(tmp_path, build):
    # timm's ViT has one; its other weights are those of a BEiT without positions.
    model = timm_vit()
    model.pos_embed.data.zero_()
    torch.save(model.state_dict(), tmp_path / 'a.pth')
    backbone = build(
        'mmseg.BEiT',
        tmp_path / 'a.pth',
        img_size=(64, 64),
        norm_cfg=dict(type='LN', eps=1e-6),
        final_norm=True,
        init_values=1.0,
        **VIT,
    )
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            backbone(image)[-1], timm_last(model, image), atol=1e-5, rtol=1e-5
        )


# What is not to happen


@pytest.mark.parametrize(
    ('target', 'args'),
    [
        ('plugin.ConvNeXt', SMALL_CONVNEXT),
        ('mmdet.SwinTransformer', SWIN),
        ('mmseg.VisionTransformer', SEG_VIT),
        ('mmdet.ResNet', dict(depth=18)),
    ],
)
def test_a_checkpoint_in_the_models_own_names_is_left_as_it_is(build, target, args):
    source = build(target, **args)
    found = fit(source.state_dict(), source)
    assert (found.origin, found.share, found.unexpected) == (None, 1.0, ())
    for name, tensor in found.tensors.items():
        assert tensor.data_ptr() == source.state_dict()[name].data_ptr()


@pytest.mark.parametrize('model', ['resnet18', 'convnext_atto', 'vit_tiny_patch16_224'])
def test_a_wrapped_timm_model_takes_timms_names(tmp_path, build, model):
    size = dict(img_size=64) if 'vit' in model else {}
    full = timm_model(model, **size)
    torch.save(full.state_dict(), tmp_path / 'a.pth')
    backbone = build(
        'plugin.TIMMBackbone', tmp_path / 'a.pth', model_name=model, **size
    )
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = full.forward_intermediates(
            image, indices=list(backbone.out_indices), intermediates_only=True
        )
        for ours, theirs in zip(backbone(image), expected, strict=True):
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_whose_names_they_are_is_that_of_the_first_proposal():
    weights = timm.create_model('convnext_atto').state_dict()
    assert origin_of(weights) == next(proposals(weights))[0] == "timm's ConvNeXt"
    assert origin_of({'a.weight': torch.zeros(1)}) is None


def test_proposals_are_worked_out_once_and_only_when_asked(monkeypatch):
    made = []

    def of_names(weights):
        for origin in ('a', 'b'):
            made.append(origin)
            yield origin, weights

    monkeypatch.setattr('plugin.weights.matching.fit.proposals', of_names)
    proposed = Proposals({'w': torch.zeros(1)})
    assert next(iter(proposed))[0] == 'a'
    assert made == ['a']
    assert [origin for origin, _ in proposed] == ['a', 'b']
    assert [origin for origin, _ in proposed] == ['a', 'b']
    assert made == ['a', 'b']
