"""Backbones that can freeze, as small as their classes allow.

``FIRST`` are tried in the default run, ``WIDE`` in the full matrix. ``values`` ascend
from fewer to more frozen stages; ``nothing`` is what the class's own documentation
calls nothing frozen.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module

import pytest
from mmengine.registry import MODELS, DefaultScope
from torch import nn


@dataclass(frozen=True)
class Case:
    name: str
    scope: str
    config: dict
    nothing: int = -1
    values: tuple[int, ...] = (0, 1, 2)
    size: int = 64

    def with_frozen(self, stages: int, **more: object) -> dict:
        return dict(deepcopy(self.config), frozen_stages=stages, **more)

    def build(self, stages: int, **more: object) -> nn.Module:
        if self.scope != 'plugin':
            import_module(f'{self.scope}.models')
        with DefaultScope.overwrite_default_scope(self.scope):
            return MODELS.build(self.with_frozen(stages, **more))


def _resnet(scope: str, **more: object) -> dict:
    # mmpretrain takes a width only together with one of the stem.
    stem = 4 if scope == 'mmpretrain' else 8
    return dict(type='ResNet', depth=18, base_channels=4, stem_channels=stem, **more)


SWIN = dict(
    type='SwinTransformer',
    embed_dims=8,
    depths=(1, 1, 1, 1),
    num_heads=(1, 1, 2, 2),
    window_size=4,
    drop_path_rate=0.0,
)
# The four stages have 8, 16, 48 and 128 channels.
REGNET = dict(w0=8, wa=16.0, wm=2.5, group_w=8, depth=6, bot_mul=1.0)
VIT = dict(embed_dims=16, num_layers=4, num_heads=2, feedforward_channels=32)
NARROW = dict(deepen_factor=0.33, widen_factor=0.125)

FIRST = (
    Case('mmdet ResNet', 'mmdet', _resnet('mmdet', norm_eval=False)),
    Case(
        'mmdet ResNet with a deep stem',
        'mmdet',
        _resnet('mmdet', norm_eval=False, deep_stem=True),
    ),
    Case('mmdet Swin', 'mmdet', SWIN),
    Case(
        'mmpretrain ResNet',
        'mmpretrain',
        _resnet('mmpretrain', out_indices=(0, 1, 2, 3)),
    ),
    Case(
        'mmpretrain Swin',
        'mmpretrain',
        dict(
            type='SwinTransformer',
            arch=dict(embed_dims=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2]),
            img_size=64,
            window_size=2,
            drop_path_rate=0.0,
            out_indices=(0, 1, 2, 3),
        ),
    ),
    Case(
        'mmpretrain ConvNeXt',
        'mmpretrain',
        dict(
            type='ConvNeXt',
            arch=dict(depths=[1, 1, 2, 1], channels=[8, 8, 16, 16]),
            out_indices=(0, 1, 2, 3),
            gap_before_final_norm=False,
        ),
        nothing=0,
        values=(1, 2, 3),
    ),
    Case(
        'mmpretrain MobileNetV3',
        'mmpretrain',
        dict(type='MobileNetV3', arch='small_075', out_indices=(3, 8, 12)),
        values=(0, 2, 4),
    ),
    Case(
        'mmpretrain RegNet',
        'mmpretrain',
        dict(type='RegNet', arch=REGNET, out_indices=(0, 1, 2, 3)),
    ),
    Case('mmyolo YOLOv5CSPDarknet', 'mmyolo', dict(type='YOLOv5CSPDarknet', **NARROW)),
    Case(
        'mmyolo YOLOv6EfficientRep', 'mmyolo', dict(type='YOLOv6EfficientRep', **NARROW)
    ),
    # It leaves the norm of its frozen stem in training mode.
    Case(
        'mmdet MobileNetV2',
        'mmdet',
        dict(type='MobileNetV2', widen_factor=0.25, out_indices=(1, 2, 4, 7)),
    ),
    Case(
        'plugin ConvNeXt',
        'plugin',
        dict(
            type='plugin.ConvNeXt',
            arch=dict(depths=[1, 1, 2, 1], channels=[8, 8, 16, 16]),
        ),
    ),
    Case(
        'plugin TIMMBackbone',
        'plugin',
        dict(type='plugin.TIMMBackbone', model_name='test_resnet'),
        values=(0, 2, 3),
    ),
)

WIDE = (
    Case(
        'plugin TIMMBackbone with a ViT',
        'plugin',
        dict(
            type='plugin.TIMMBackbone',
            model_name='test_vit',
            img_size=64,
            out_indices=(-1,),
        ),
        values=(0, 2, 4),
    ),
    Case(
        'plugin TIMMBackbone with an EfficientNet',
        'plugin',
        dict(type='plugin.TIMMBackbone', model_name='test_efficientnet'),
    ),
    Case('mmdet RegNet', 'mmdet', dict(type='RegNet', arch=REGNET, norm_eval=False)),
    Case(
        'mmdet EfficientNet',
        'mmdet',
        dict(type='EfficientNet', arch='b0', out_indices=(3, 6)),
        nothing=0,
        values=(1, 2, 4),
    ),
    Case('mmdet CSPDarknet', 'mmdet', dict(type='CSPDarknet', **NARROW)),
    Case('mmdet CSPNeXt', 'mmdet', dict(type='CSPNeXt', **NARROW)),
    Case('mmseg ResNet', 'mmseg', _resnet('mmseg')),
    Case('mmseg Swin', 'mmseg', SWIN),
    Case(
        'mmseg MobileNetV3',
        'mmseg',
        dict(type='MobileNetV3', arch='small', out_indices=(0, 3, 12)),
    ),
    Case(
        'mmpretrain VisionTransformer',
        'mmpretrain',
        dict(
            type='VisionTransformer',
            arch=VIT,
            img_size=64,
            out_type='featmap',
            pre_norm=True,
        ),
        # It calls 0 nothing, too.
        values=(1, 2, 4),
    ),
    Case(
        'mmpretrain BEiTViT',
        'mmpretrain',
        dict(type='BEiTViT', arch=VIT, img_size=64, out_type='featmap'),
        values=(1, 2, 4),
    ),
)


def parametrize(in_runner: bool = False) -> pytest.MarkDecorator:
    """Over all of them as ``case``, those of ``WIDE`` marked so.

    ``in_runner``: the test trains, so the quick run takes the first case only.
    """
    slow = [pytest.param(case, marks=pytest.mark.slow) for case in FIRST[1:]]
    wide = [pytest.param(case, marks=pytest.mark.wide) for case in WIDE]
    first = [FIRST[0], *(slow if in_runner else FIRST[1:])]
    return pytest.mark.parametrize('case', [*first, *wide], ids=lambda case: case.name)
