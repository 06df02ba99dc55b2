"""Every backbone of the four libraries, and a model of each family of timm."""

import math

import pytest

from plugin.decay.layer_depth import layer_depths
from plugin.libraries import SCOPES
from plugin.measure.forward import MeasuredBackbone
from plugin.probe import probe
from plugin.probe.catalogue import catalogue

pytestmark = pytest.mark.wide

# Arguments of the smallest variant, for what needs some.
BASIC_HRNET = {
    f'stage{i}': dict(
        num_modules=1,
        num_branches=i,
        block='BOTTLENECK' if i == 1 else 'BASIC',
        num_blocks=(1,) * i,
        num_channels=tuple(8 * 2**j for j in range(i)),
    )
    for i in range(1, 5)
}
TRIDENT = dict(
    depth=50,
    num_stages=3,
    num_branch=3,
    test_branch_idx=1,
    strides=(1, 2, 2),
    dilations=(1, 1, 1),
    trident_dilations=(1, 2, 3),
    out_indices=(2,),
)
CONTEXT = dict(type='ResNetV1c', depth=18, out_indices=(0, 1, 2, 3))
STDC = dict(
    stdc_type='STDCNet1',
    in_channels=3,
    channels=(32, 64, 256, 512, 1024),
    bottleneck_type='cat',
    norm_cfg=dict(type='BN'),
    act_cfg=dict(type='ReLU'),
    num_convs=4,
    with_final_conv=False,
)
ARGUMENTS = {
    'mmdet.HRNet': dict(extra=BASIC_HRNET),
    'mmseg.HRNet': dict(extra=BASIC_HRNET),
    'mmdet.TridentResNet': TRIDENT,
    'mmdet.RegNet': dict(arch='regnetx_400mf'),
    'mmpretrain.RegNet': dict(arch='regnetx_400mf'),
    'mmseg.STDCNet': STDC,
    'mmseg.BiSeNetV1': dict(backbone_cfg=dict(CONTEXT)),
    'mmseg.STDCContextPathNet': dict(
        backbone_cfg=dict(STDC, type='STDCNet'),
        last_in_channels=(1024, 512),
        out_channels=128,
        ffm_cfg=dict(in_channels=384, out_channels=256, scale_factor=4),
    ),
    'mmseg.ICNet': dict(
        backbone_cfg=dict(
            type='ResNetV1c',
            depth=50,
            dilations=(1, 1, 2, 4),
            strides=(1, 2, 1, 1),
            out_indices=(0, 1, 2, 3),
        )
    ),
    'mmpretrain.CSPDarkNet': dict(depth=53),
    'mmpretrain.VGG': dict(depth=11),
    'mmpretrain.LeViT': dict(arch='128s'),
    'mmpretrain.MobileOne': dict(arch='s0'),
    'mmpretrain.PCPVT': dict(arch='small'),
    'mmpretrain.SVT': dict(arch='small'),
    'mmpretrain.PyramidVig': dict(arch='tiny'),
    'mmpretrain.Vig': dict(arch='tiny'),
    'mmpretrain.RepLKNet': dict(arch='31B'),
    'mmpretrain.RepMLPNet': dict(arch='B'),
    'mmpretrain.RepVGG': dict(arch='A0'),
    'mmpretrain.ResNet_CIFAR': dict(depth=18),
}
INPUT = {'mmpretrain.SwinTransformerV2': 256, 'mmpretrain.RepMLPNet': 224}
NEEDS_DEPTH = ('ResN', 'Res2Net', 'SEResN', 'CSPResN', 'SSDVGG', 'Darknet', 'Detecto')
# They are parts of a training of their own, or of a model that is downloaded.
NO_BACKBONES = {
    'mmseg.VPD': 'diffusion_cfg',
    'mmpretrain.SparseConvNeXt': "'NoneType' object has no attribute 'shape'",
    'mmpretrain.SparseResNet': 'needs depth',
}
NO_MAPS = {
    'mmpretrain.BEiTViT',
    'mmpretrain.Conformer',
    'mmpretrain.ConvNeXt',
    'mmpretrain.DeiT3',
    'mmpretrain.DistilledVisionTransformer',
    'mmpretrain.EdgeNeXt',
    'mmpretrain.EfficientFormer',
    'mmpretrain.HorNet',
    'mmpretrain.InceptionV3',
    'mmpretrain.MixMIMTransformer',
    'mmpretrain.MlpMixer',
    'mmpretrain.RevVisionTransformer',
    'mmpretrain.T2T_ViT',
    'mmpretrain.TNT',
    'mmpretrain.TinyViT',
    'mmpretrain.ViTEVA02',
    'mmpretrain.VisionTransformer',
    'mmpretrain.XCiT',
}
# At a size that the divisor allows, larger than the one measured and not square.
MULTIPLES = (11, 13)


def names():
    try:
        groups = catalogue().groups
    except Exception:
        return []
    return [name for library in SCOPES for name in groups.get(library, ())]


def cfg_of(name):
    if name in ARGUMENTS:
        return dict(type=name, **ARGUMENTS[name])
    plain = name.partition('.')[2]
    if plain == 'TIMMBackbone':
        return dict(type=name, model_name='resnet10t', features_only=True)
    depth = 16 if 'VGG' in plain else 53 if plain == 'Darknet' else 50
    needs = plain.startswith(NEEDS_DEPTH)
    return dict(type=name, depth=depth) if needs else dict(type=name)


def check(cfg, found):
    assert found.params > 0 and found.flops > 0
    assert all(type(c) is int and c > 0 for c in found.channels)
    measured = MeasuredBackbone(cfg)
    if measured.backbone is not None and found.size_divisor is not None:
        divisor = found.size_divisor
        smallest = math.ceil(found.input / divisor / MULTIPLES[0])
        size = tuple(m * smallest * divisor for m in MULTIPLES)
        maps = measured.forward(size)
        wanted = tuple(
            tuple(math.ceil(side / stride) for side in size) for stride in found.strides
        )
        assert maps.sizes == wanted
        assert maps.channels == found.channels
    try:
        assert found.num_layers == layer_depths(measured.backbone).num_layers
    except ValueError:
        assert found.num_layers is None


@pytest.mark.parametrize('name', names())
def test_a_backbone_of_a_library(name):
    cfg = cfg_of(name)
    if name in NO_BACKBONES:
        with pytest.raises(ValueError, match=NO_BACKBONES[name]):
            probe(cfg)
        return
    found = probe(cfg, INPUT.get(name, 224))
    assert (found.layout == 'NCHW') == (name not in NO_MAPS), found.layout
    if name in NO_MAPS:
        assert found.strides is None
        return
    own = type(MeasuredBackbone(cfg).backbone)
    asked = getattr(MeasuredBackbone(cfg).backbone, 'out_indices', None)
    assert (found.out_indices is None) == (asked is None), own
    check(cfg, found)


# A small model of a family: what timm declares is what must be measured.
FAMILIES = (
    *('resnet10t', 'resnetv2_50', 'resnext50_32x4d', 'resnest14d', 'res2net50_14w_8s'),
    *('seresnet50', 'skresnet18', 'ecaresnet26t', 'densenet121', 'dla34', 'dpn48b'),
    *(
        'vgg11',
        'vovnet39a',
        'cspresnet50',
        'darknet17',
        'hardcorenas_a',
        'ghostnet_050',
    ),
    *('mobilenetv2_035', 'mobilenetv3_small_050', 'mobilenetv4_conv_small'),
    *('mnasnet_small', 'efficientnet_b0', 'tf_efficientnetv2_b0', 'efficientformer_l1'),
    *('fbnetc_100', 'lcnet_035', 'tinynet_e', 'regnetx_002', 'regnety_002'),
    *('repvgg_a0', 'mobileone_s0', 'fastvit_t8', 'repvit_m0_9', 'hgnetv2_b0'),
    *('convnext_atto', 'convnextv2_atto', 'inception_next_atto', 'edgenext_xx_small'),
    *('poolformer_s12', 'mobilevit_xxs', 'mobilevitv2_050', 'pvt_v2_b0', 'mvitv2_tiny'),
    *('swin_tiny_patch4_window7_224', 'swinv2_tiny_window8_256', 'twins_svt_small'),
    *('vit_tiny_patch16_224', 'deit_tiny_patch16_224', 'eva02_tiny_patch14_224'),
    *('coatnet_pico_rw_224', 'maxvit_pico_rw_256', 'nest_tiny', 'levit_128s'),
    *(
        'focalnet_tiny_srf',
        'davit_tiny',
        'gcvit_xxtiny',
        'hiera_tiny_224',
        'tiny_vit_5m_224',
    ),
)


@pytest.mark.parametrize('model_name', FAMILIES)
def test_a_family_of_timm(model_name):
    import timm

    cfg = dict(type='plugin.TIMMBackbone', model_name=model_name)
    found = probe(cfg)
    # Patches of 14 pixels are resampled, so that strides are powers of two.
    kwargs = dict(patch_size=16) if '_patch14_' in model_name else {}
    model = timm.create_model(model_name, features_only=True, **kwargs)
    declared = model.feature_info
    assert found.channels == tuple(declared.channels())
    assert found.strides == tuple(declared.reduction())
    assert found.out_indices == tuple(declared.out_indices)
    own = timm.get_pretrained_cfg(model_name)
    assert found.mean == pytest.approx([255 * x for x in own.mean], abs=1e-3)
    assert found.std == pytest.approx([255 * x for x in own.std], abs=1e-3)
    assert found.frozen_stages == -1
    check(cfg, found)
