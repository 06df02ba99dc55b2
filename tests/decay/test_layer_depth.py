"""Depths in real backbones; the rules themselves are in test_stages.py."""

import importlib
from dataclasses import dataclass

import pytest
import torch
from mmengine.registry import DefaultScope
from torch import nn

from plugin.backbones.convnext import ConvNeXt
from plugin.decay.layer_depth import find_backbones, layer_depths


@dataclass(frozen=True)
class Case:
    """A backbone, its number of layers and stages, and (layer, stage) of some names."""

    library: str
    type: str
    kwargs: dict
    layers: int
    stages: int
    depths: dict[str, tuple[int, int]]

    def build(self) -> nn.Module:
        importlib.import_module(f'{self.library}.models')
        models = importlib.import_module(f'{self.library}.registry').MODELS
        with DefaultScope.overwrite_default_scope(self.library):
            return models.build(dict(type=self.type, **self.kwargs))


def hrnet_stage(modules: int, blocks: tuple[int, ...], block: str = 'BASIC') -> dict:
    channels = tuple(4 * 2**i for i in range(len(blocks)))
    return dict(
        num_modules=modules,
        num_branches=len(blocks),
        block=block,
        num_blocks=blocks,
        num_channels=channels,
    )


HRNET = dict(
    stage1=hrnet_stage(1, (2,), 'BOTTLENECK'),
    stage2=hrnet_stage(1, (1, 1)),
    stage3=hrnet_stage(3, (1, 1, 1)),
    stage4=hrnet_stage(2, (1, 1, 1, 1)),
)
SMALL_SWIN = dict(embed_dims=24, depths=(2, 2, 6, 2), num_heads=(1, 2, 4, 8))
CASES = [
    Case(
        'mmdet',
        'ResNet',
        dict(depth=18),
        layers=8,
        stages=4,
        depths={
            'conv1.weight': (0, 0),
            'bn1.bias': (0, 0),
            'layer1.0.conv1.weight': (1, 1),
            'layer2.1.conv2.weight': (4, 2),
            'layer4.0.downsample.0.weight': (7, 4),
            'layer4.1.bn2.bias': (8, 4),
        },
    ),
    Case(
        'mmdet',
        'SwinTransformer',
        SMALL_SWIN,
        layers=12,
        stages=4,
        depths={
            'patch_embed.projection.weight': (0, 0),
            'stages.0.blocks.1.ffn.layers.1.bias': (2, 1),
            'stages.0.downsample.reduction.weight': (2, 1),
            'stages.2.blocks.5.norm1.weight': (10, 3),
            'norm0.weight': (13, 5),
            'norm3.bias': (13, 5),
        },
    ),
    Case(
        'mmdet',
        'CSPDarknet',
        dict(widen_factor=0.125, deepen_factor=0.33),
        layers=9,
        stages=4,
        depths={
            'stem.conv.conv.weight': (0, 0),
            'stage1.0.conv.weight': (1, 1),
            'stage1.1.blocks.0.conv2.bn.weight': (2, 1),
            'stage4.1.conv1.conv.weight': (8, 4),
            'stage4.2.final_conv.bn.bias': (9, 4),
        },
    ),
    Case(
        'mmyolo',
        'YOLOv5CSPDarknet',
        dict(widen_factor=0.125, deepen_factor=0.33),
        layers=9,
        stages=4,
        depths={'stem.conv.weight': (0, 0), 'stage4.2.conv1.conv.weight': (9, 4)},
    ),
    Case(
        'mmyolo',
        'YOLOv6EfficientRep',
        dict(widen_factor=0.125, deepen_factor=0.33),
        layers=8,
        stages=4,
        depths={
            'stem.rbr_dense.conv.weight': (0, 0),
            'stage2.0.0.rbr_dense.conv.weight': (3, 2),
            'stage2.0.1.conv1.rbr_1x1.conv.weight': (4, 2),
            'stage4.1.conv1.conv.weight': (8, 4),
        },
    ),
    Case(
        'mmpretrain',
        'CSPResNeXt',
        dict(depth=50),
        layers=13,
        stages=4,
        depths={
            'stem.0.conv.weight': (0, 0),
            'stages.1.downsample_conv.conv.weight': (4, 2),
            'stages.0.blocks.2.conv1.weight': (3, 1),
            'stages.3.blocks.1.conv2.weight': (13, 4),
            'stages.3.final_conv.conv.weight': (13, 4),
        },
    ),
    Case(
        'mmpretrain',
        'MobileNetV3',
        dict(arch='small'),
        layers=12,
        stages=12,
        depths={
            'layer0.conv.weight': (0, 0),
            'layer1.depthwise_conv.conv.weight': (1, 1),
            'layer12.bn.bias': (12, 12),
        },
    ),
    Case(
        'mmdet',
        'PyramidVisionTransformer',
        dict(embed_dims=8, num_layers=[1, 2, 1, 1]),
        layers=5,
        stages=4,
        depths={
            'layers.0.0.projection.weight': (0, 0),
            'layers.0.1.0.pos_embed': (0, 0),
            'layers.0.1.1.norm1.weight': (1, 1),
            'layers.1.0.projection.weight': (2, 2),
            'layers.1.1.2.ffn.layers.0.weight': (3, 2),
        },
    ),
    Case(
        'mmdet',
        'HRNet',
        dict(extra=HRNET),
        layers=8,
        stages=4,
        depths={
            'conv2.weight': (0, 0),
            'layer1.1.conv3.weight': (2, 1),
            'transition1.0.0.weight': (3, 2),
            'stage2.0.branches.1.0.conv1.weight': (3, 2),
            'stage3.2.fuse_layers.0.1.0.weight': (6, 3),
            'stage4.1.branches.3.0.bn2.weight': (8, 4),
        },
    ),
    Case(
        'mmdet',
        'EfficientNet',
        dict(arch='b0'),
        layers=17,
        stages=6,
        depths={
            'layers.0.conv.weight': (0, 0),
            'layers.1.0.depthwise_conv.conv.weight': (1, 1),
            'layers.2.1.linear_conv.conv.weight': (3, 2),
            'layers.6.bn.weight': (17, 6),
        },
    ),
    Case(
        'mmpretrain',
        'DenseNet',
        dict(arch=dict(growth_rate=8, depths=[2, 2, 2, 2], init_channels=16)),
        layers=8,
        stages=4,
        depths={
            'stem.0.weight': (0, 0),
            'stages.1.block.1.conv1.weight': (4, 2),
            'transitions.1.conv.weight': (4, 2),
            'transitions.3.0.weight': (9, 5),
        },
    ),
    # mmpretrain's own method, grouped as BEiT's authors do it for ResNet-50.
    Case(
        'mmpretrain',
        'ResNet',
        dict(depth=50),
        layers=6,
        stages=4,
        depths={
            'conv1.weight': (0, 0),
            'layer2.2.conv1.weight': (3, 2),
            'layer3.5.bn3.weight': (5, 3),
            'layer4.2.conv3.weight': (6, 4),
        },
    ),
    # ... which raises a NotImplementedError for this depth.
    Case(
        'mmpretrain',
        'ResNet',
        dict(depth=18),
        layers=8,
        stages=4,
        depths={'layer4.1.bn2.bias': (8, 4)},
    ),
    # Its method looks for `layers`, which this class calls `blocks`.
    Case(
        'mmpretrain',
        'HiViT',
        dict(arch=dict(embed_dims=32, depths=[1, 1, 2], num_heads=2)),
        layers=8,
        stages=8,
        depths={'pos_embed': (0, 0), 'blocks.0.mlp.fc1.weight': (1, 1)},
    ),
    Case(
        'mmpretrain',
        'VisionTransformer',
        dict(arch='deit-tiny', img_size=32),
        layers=12,
        stages=12,
        depths={
            'cls_token': (0, 0),
            'layers.11.ffn.layers.1.weight': (12, 12),
            'ln1.weight': (13, 13),
        },
    ),
    # The published scheme has the head at 7 in both types.
    Case(
        'mmpretrain',
        'ConvNeXt',
        dict(arch='atto', out_indices=(0, 1, 2, 3), gap_before_final_norm=False),
        layers=6,
        stages=6,
        depths={
            'downsample_layers.0.0.weight': (0, 0),
            'downsample_layers.3.1.weight': (6, 0),
            'stages.0.0.gamma': (1, 1),
            'stages.2.5.gamma': (4, 3),
            'stages.3.0.gamma': (6, 4),
            'norm0.weight': (7, 7),
        },
    ),
]
parametrize = pytest.mark.parametrize(
    'case', CASES, ids=[f'{c.library}.{c.type}-{c.layers}' for c in CASES]
)


@parametrize
def test_every_parameter_has_a_depth_in_both_types(case):
    backbone = case.build()
    names = {name for name, _ in backbone.named_parameters()}
    for decay_type, number in (
        ('layer_wise', case.layers),
        ('stage_wise', case.stages),
    ):
        found = layer_depths(backbone, decay_type)
        assert found.num_layers == number
        assert set(found.depths) == names
        assert min(found.depths.values()) == 0
        assert max(found.depths.values()) <= found.head
    for name, expected in case.depths.items():
        depths = [layer_depths(backbone, t).depths[name] for t in DECAY_TYPES]
        assert (name, *depths) == (name, *expected)


DECAY_TYPES = ('layer_wise', 'stage_wise')


def test_convnext_of_this_package_has_the_depths_of_mmpretrain_s():
    theirs = next(case for case in CASES if case.type == 'ConvNeXt').build()
    ours = ConvNeXt('atto', out_indices=(0, 1, 2, 3))
    # Names within a block are the same too.
    for decay_type in DECAY_TYPES:
        assert layer_depths(ours, decay_type) == layer_depths(theirs, decay_type)


@pytest.mark.parametrize(
    ('arch', 'number'),
    [
        ('atto', 6),
        ('nano', 6),
        ('tiny', 6),
        ('small', 12),
        ('base', 12),
        ('xlarge', 12),
    ],
)
def test_convnext_has_the_published_number_of_layers(arch, number):
    with torch.device('meta'):
        backbone = ConvNeXt(arch)
    assert [layer_depths(backbone, t).num_layers for t in DECAY_TYPES] == [number] * 2


class Plain(nn.Module):
    """A user's backbone: a stem, three stages and a norm."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)) for _ in range(3)
        )
        self.norm = nn.BatchNorm2d(4)


class Knowing(Plain):
    """A user's backbone that knows its layers."""

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def get_layer_depth(self, param_name, prefix=''):
        return self.answer(param_name.removeprefix(prefix))


class Model(nn.Module):
    """Any model, from its parts."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


def test_a_backbone_s_own_method_is_believed():
    found = layer_depths(Knowing(lambda name: (2 if 'stages' in name else 1, 5)))
    assert found.depths['stages.0.0.weight'] == 2 and found.depths['stem.weight'] == 1
    assert (found.head, found.num_layers) == (4, 3)


@pytest.mark.parametrize(
    ('answer', 'message'),
    [
        (lambda name: (9, 8), 'gave stem.weight the depth 9 of 8'),
        (lambda name: (-1, 8), 'gave stem.weight the depth -1 of 8'),
        (lambda name: (1, 8 + ('norm' in name)), r'numbers of depths \[8, 9\]'),
        (
            lambda name: {'stem.weight': (0, 5)}[name],
            '15 of the 16 .* stages.0.0.weight',
        ),
        (
            lambda name: None if 'norm' in name else (0, 2),
            '2 of the 16 parameters .* are unknown: norm.weight, norm.bias. Give',
        ),
    ],
)
def test_an_own_method_that_makes_no_sense_is_an_error(answer, message):
    with pytest.raises(ValueError, match=message):
        layer_depths(Knowing(answer))


def test_stages_are_counted_although_the_backbone_knows_its_layers():
    found = layer_depths(Knowing(lambda name: (1, 5)), 'stage_wise')
    assert found.num_layers == 3
    assert found.depths['stages.2.1.weight'] == 3


@pytest.mark.parametrize('decay_type', DECAY_TYPES)
def test_unmatched_parameters_are_listed(decay_type):
    backbone = Model(one=nn.Linear(4, 4), two=nn.Linear(4, 4))
    with pytest.raises(ValueError, match='4 of the 4') as error:
        layer_depths(backbone, decay_type)
    for text in ('one.weight, one.bias, two.weight, two.bias', 'get_layer_depth'):
        assert text in str(error.value)


def test_the_backbone_proper_in_a_wrapper_is_found():
    wrapper = Model(
        adapter=nn.Conv2d(3, 3, 1), body=Plain(), project=nn.Conv2d(4, 4, 1)
    )
    found = layer_depths(wrapper)
    names = ['adapter.weight', 'body.stem.weight', 'body.stages.1.0.weight']
    assert [found.depths[name] for name in names] == [0, 0, 3]
    assert found.depths['project.weight'] == found.depths['body.norm.weight'] == 7


def test_a_branch_beside_the_backbone_proper_has_no_place():
    body = Plain()
    body.stages.append(nn.Conv2d(4, 4, 9))
    wrapper = Model(branch=Plain(), body=body)
    message = '16 of the 34 .* unknown: branch.stem.weight'
    with pytest.raises(ValueError, match=message) as error:
        layer_depths(wrapper)
    assert 'body' not in str(error.value)


def test_names_of_backbones_are_found_at_any_depth():
    model = Model(
        student=Model(backbone=Plain(), head=nn.Linear(4, 4)),
        img_backbone=Plain(),
        backbone2=Plain(),
        neck=Plain(),
    )
    assert list(find_backbones(model)) == [
        'student.backbone.',
        'img_backbone.',
        'backbone2.',
    ]


def test_a_module_that_knows_its_layers_is_a_backbone_under_any_name():
    model = Model(encoder=Knowing(lambda name: (0, 2)), head=nn.Linear(4, 4))
    assert list(find_backbones(model)) == ['encoder.']


def test_a_bare_backbone_is_its_own_model():
    assert list(find_backbones(Knowing(lambda name: (0, 2)))) == ['']


def test_a_classifier_is_not_its_own_backbone():
    class Classifier(Model):
        def get_layer_depth(self, param_name):
            return 0, 2

    assert list(find_backbones(Classifier(backbone=Plain()))) == ['backbone.']


def test_a_model_without_a_backbone_is_an_error_that_names_its_parts():
    with pytest.raises(ValueError, match=r'none of its parts \(body, head\)'):
        find_backbones(Model(body=Plain(), head=nn.Linear(4, 4)))
