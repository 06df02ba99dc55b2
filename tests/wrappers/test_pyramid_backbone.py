"""A pyramid around a backbone whose feature maps have one stride."""

import math

import pytest
import torch

from plugin.decay.layer_depth import layer_depths
from plugin.freezing.frozen_stages import StageFreezer
from plugin.registry import MODELS
from plugin.spec import FeatureSpec

VIT = dict(type='plugin.TIMMBackbone', model_name='test_vit', out_indices=(-1,))


def build(backbone=VIT, **kwargs):
    return MODELS.build(
        dict(type='plugin.PyramidBackbone', backbone=backbone, **kwargs)
    )


def test_one_feature_map_becomes_a_pyramid():
    module = build(out_channels=[8, 16, 32, 64])
    assert module.feature_spec() == FeatureSpec((8, 16, 32, 64), (4, 8, 16, 32))
    maps = module(torch.rand(2, 3, 64, 96))
    assert [tuple(x.shape) for x in maps] == [
        (2, 8, 16, 24),
        (2, 16, 8, 12),
        (2, 32, 4, 6),
        (2, 64, 2, 3),
    ]


@pytest.mark.parametrize('patch', [16, 14])
def test_an_image_of_no_whole_patches_has_no_cells_behind_its_edge(patch):
    own = dict(timm_kwargs=dict(patch_size=patch), model_name='vit_tiny_patch16_224')
    module = build(dict(VIT, **own), out_channels=8)
    maps = module(torch.rand(1, 3, 71, 47))
    strides = module.feature_spec().strides
    assert [tuple(x.shape[2:]) for x in maps] == [
        (math.ceil(71 / s), math.ceil(47 / s)) for s in strides
    ]


def test_patches_of_14_pixels_have_strides_of_their_own():
    own = dict(timm_kwargs=dict(patch_size=14), model_name='vit_tiny_patch16_224')
    module = build(dict(VIT, **own), out_channels=8)
    assert module.feature_spec().strides == (3.5, 7, 14, 28)


def test_frozen_stages_are_those_of_the_backbone():
    module = build(dict(VIT, frozen_stages=2))
    assert module.frozen_stages == 2
    module.train()
    frozen = {n for n, p in module.named_parameters() if not p.requires_grad}
    assert frozen and all(name.startswith('backbone.') for name in frozen)
    freezer = StageFreezer(module)
    freezer.apply(freezer.at(freezer.nothing))
    assert module.backbone.frozen_stages == -1
    assert all(p.requires_grad for p in module.parameters())


def test_the_pyramid_trains_at_the_rate_of_the_head():
    depths = layer_depths(build())
    of_pyramid = {d for n, d in depths.depths.items() if n.startswith('pyramid.')}
    assert of_pyramid == {depths.head}
    assert min(depths.depths.values()) == 0


def test_every_parameter_gets_a_gradient():
    module = build(out_channels=8)
    sum((x**2).mean() for x in module(torch.rand(2, 3, 64, 64))).backward()
    assert [n for n, p in module.named_parameters() if p.grad is None] == []


def test_a_backbone_that_gives_a_pyramid_already_is_refused():
    resnet = dict(type='plugin.TIMMBackbone', model_name='resnet10t')
    with pytest.raises(ValueError, match='gives a pyramid already, of strides'):
        build(resnet)


def test_channels_that_nobody_declares_are_asked_for():
    vit = dict(
        type='mmpretrain.VisionTransformer',
        arch='deit-tiny',
        img_size=64,
        out_type='featmap',
    )
    pytest.importorskip('mmpretrain.models')
    with pytest.raises(ValueError, match=r'write\s+in_channels=\[768\]'):
        build(vit)
    maps = build(vit, in_channels=[192], out_channels=8)(torch.rand(1, 3, 64, 64))
    assert [x.shape[-1] for x in maps] == [16, 8, 4, 2]


def test_heads_with_anchors_refuse_a_stride_of_3_5_and_detr_like_ones_take_it(tmp_path):
    from plugin.check import check

    vit = dict(VIT, timm_kwargs=dict(patch_size=14))

    def errors(base, **model):
        path = tmp_path / 'kept.py'
        path.write_text(
            f'_base_ = {base!r}\n'
            "custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)"
            f'\nmodel = {model!r}\n'
        )
        return [p for p in check(str(path)) if p.severity == 'error']

    pyramid = dict(
        _delete_=True,
        type='plugin.SimpleFeaturePyramid',
        in_channels=[64],
        out_channels=256,
    )
    backbone = dict(_delete_=True, **vit)
    anchors, *_ = errors(
        'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
        backbone=backbone,
        neck=dict(pyramid, scales=(4, 2, 1, 0.5), extra_maps=1),
    )
    assert anchors.key == 'model.rpn_head.anchor_generator.strides'
    assert anchors.expected == [3.5, 7, 14, 28, 56]
    four = dict(type='plugin.PyramidBackbone', backbone=vit, out_channels=256)
    assert not errors(
        'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
        backbone=dict(_delete_=True, **four),
        panoptic_head=dict(in_channels=[256] * 4),
    )
