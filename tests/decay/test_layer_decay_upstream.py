"""Rates and weight decays held against the constructors of the libraries themselves."""

import copy
import importlib
from functools import cache

import pytest
import torch
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from torch import nn

from plugin.backbones.convnext import ConvNeXt
from plugin.decay.constructor import LayerDecayOptimWrapperConstructor

LR, DECAY = 1e-4, 0.05
WRAPPER = dict(
    type='OptimWrapper', optimizer=dict(type='AdamW', lr=LR, weight_decay=DECAY)
)
# The models of the tutorials, and of the same libraries for ConvNeXt base.
CONFIGS = {
    ('mmdet', 'tiny'): 'convnext/mask-rcnn_convnext-t-p4-w7_fpn_amp-ms-crop-3x_coco.py',
    ('mmdet', 'base'): 'rtmdet/rtmdet_l_convnext_b_4xb32-100e_coco.py',
    ('mmseg', 'tiny'): 'convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py',
    ('mmseg', 'base'): 'convnext/convnext-base_upernet_8xb2-amp-160k_ade20k-512x512.py',
}


@cache
def model_of(library: str, arch: str) -> tuple[nn.Module, dict]:
    """A library's own ConvNeXt model, and the paramwise_cfg of its config."""
    importlib.import_module(f'{library}.models')
    config = get_config(f'{library}::{CONFIGS[library, arch]}')
    config.model.backbone.init_cfg = None
    with DefaultScope.overwrite_default_scope(library):
        model = registry(library).MODELS.build(config.model)
    return model, dict(config.optim_wrapper.paramwise_cfg)


def registry(library: str):
    return importlib.import_module(f'{library}.registry')


def settings(model: nn.Module, constructor) -> dict[str, tuple[float, float]]:
    """(rate, weight decay) of each parameter by its name."""
    names = {param: name for name, param in model.named_parameters()}
    return {
        names[param]: (group['lr'], group['weight_decay'])
        for group in constructor(model).optimizer.param_groups
        for param in group['params']
    }


def theirs(library: str, model: nn.Module, type: str, **paramwise):
    config = dict(
        type=type,
        optim_wrapper_cfg=copy.deepcopy(WRAPPER),
        paramwise_cfg=paramwise,
    )
    constructors = registry(library).OPTIM_WRAPPER_CONSTRUCTORS
    with DefaultScope.overwrite_default_scope(library):
        return settings(model, constructors.build(config))


def ours(model: nn.Module, **paramwise):
    wrapper = copy.deepcopy(WRAPPER)
    return settings(model, LayerDecayOptimWrapperConstructor(wrapper, paramwise))


# The tutorials: 0.95 layer-wise for detection, 0.9 stage-wise for segmentation.
@pytest.mark.parametrize(
    ('decay_type', 'rate'), [('layer_wise', 0.95), ('stage_wise', 0.9)]
)
@pytest.mark.parametrize(('library', 'arch'), CONFIGS)
def test_convnext_is_treated_as_mmdet_and_mmseg_do_it(library, arch, decay_type, rate):
    model, published = model_of(library, arch)
    paramwise = dict(
        decay_rate=rate, decay_type=decay_type, num_layers=published['num_layers']
    )
    expected = theirs(
        library, model, 'LearningRateDecayOptimizerConstructor', **paramwise
    )
    assert len(expected) == sum(1 for _ in model.parameters())
    assert len({rate for rate, _ in expected.values()}) >= 5
    assert ours(model, **paramwise) == expected
    del paramwise['num_layers']
    assert ours(model, **paramwise) == expected


@pytest.mark.parametrize(('library', 'arch'), CONFIGS)
def test_the_published_config_itself_gives_the_published_rates(library, arch):
    model, published = model_of(library, arch)
    expected = theirs(
        library, model, 'LearningRateDecayOptimizerConstructor', **published
    )
    assert ours(model, **published) == expected


class Segmentor(nn.Module):
    """``backbone`` and a head, which is all that upstream looks at."""

    def __init__(self, backbone: nn.Module):
        super().__init__()
        self.backbone = backbone
        self.decode_head = nn.Conv2d(8, 2, 1)


@pytest.mark.parametrize('decay_type', ['layer_wise', 'stage_wise'])
@pytest.mark.parametrize(('arch', 'num_layers'), [('tiny', 6), ('base', 12)])
def test_our_convnext_is_treated_as_mmdet_does_it(arch, num_layers, decay_type):
    importlib.import_module('mmdet.models')
    with torch.device('meta'):
        model = Segmentor(ConvNeXt(arch))
    paramwise = dict(decay_rate=0.8, decay_type=decay_type, num_layers=num_layers)
    expected = theirs(
        'mmdet', model, 'LearningRateDecayOptimizerConstructor', **paramwise
    )
    assert ours(model, **paramwise) == expected


@pytest.mark.parametrize('type', ['BEiT', 'MAE'])
def test_beit_has_the_rates_that_mmseg_gives_it(type):
    backbones = importlib.import_module('mmseg.models.backbones')
    backbone = getattr(backbones, type)(
        img_size=(32, 32), embed_dims=8, num_layers=12, num_heads=2, out_indices=(3, 11)
    )
    model = Segmentor(backbone)
    expected = theirs(
        'mmseg',
        model,
        'LearningRateDecayOptimizerConstructor',
        decay_rate=0.9,
        decay_type='layer_wise_vit',
        num_layers=12,
    )
    found = ours(model, decay_rate=0.9, num_layers=12)
    assert rates(found) == rates(expected)
    assert len(set(rates(found).values())) == 14


def rates(found: dict[str, tuple[float, float]]) -> dict[str, float]:
    return {name: rate for name, (rate, _) in found.items()}


CLASSIFIERS = {
    'VisionTransformer': dict(arch='deit-tiny', img_size=32),
    'SwinTransformer': dict(
        arch=dict(embed_dims=24, depths=[2, 2, 6, 2], num_heads=[1, 2, 4, 8])
    ),
    'ConvNeXt': dict(arch='atto'),
    'BEiTViT': dict(
        arch=dict(embed_dims=16, num_layers=12, num_heads=2, feedforward_channels=32),
        img_size=32,
    ),
    'ResNet': dict(depth=50),
}


@pytest.mark.parametrize('type', CLASSIFIERS)
def test_classifiers_are_treated_as_mmpretrain_does_it(type):
    classifiers = importlib.import_module('mmpretrain.models')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = classifiers.ImageClassifier(
            backbone=dict(type=type, **CLASSIFIERS[type]),
            head=dict(type='LinearClsHead', num_classes=3, in_channels=8),
        )
    # As in mmpretrain's configs; biases and 1-D have a decay there unless told so.
    no_decay = dict(decay_mult=0.0)
    multipliers = dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
        custom_keys={'.cls_token': no_decay, '.pos_embed': no_decay},
    )
    expected = theirs(
        'mmpretrain',
        model,
        'LearningRateDecayOptimWrapperConstructor',
        layer_decay_rate=0.75,
        **multipliers,
    )
    assert len(set(rates(expected).values())) >= 7
    assert ours(model, layer_decay_rate=0.75, **multipliers) == expected


@pytest.mark.parametrize(
    ('library', 'type'),
    [('mmdet', 'SwinTransformer'), ('mmseg', 'SwinTransformer')],
)
def test_swin_has_the_rates_of_mmpretrain_s_in_every_library(library, type):
    """mmdet and mmseg have no rates for their Swin; mmpretrain has for its own."""
    cls = getattr(importlib.import_module(f'{library}.models.backbones'), type)
    same = dict(embed_dims=24, depths=[2, 2, 6, 2], num_heads=[1, 2, 4, 8])
    theirs_ = importlib.import_module('mmpretrain.models.backbones').SwinTransformer
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        expected = rates(ours(Segmentor(theirs_(arch=same)), decay_rate=0.75))
    with DefaultScope.overwrite_default_scope(library):
        found = rates(ours(Segmentor(cls(**same)), decay_rate=0.75))
    # Names inside a block differ a little.
    assert {name: r for name, r in found.items() if name in expected} == {
        name: r for name, r in expected.items() if name in found
    }
    assert len(set(found) & set(expected)) > 0.9 * len(expected)
