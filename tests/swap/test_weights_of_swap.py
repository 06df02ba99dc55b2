"""The pretrained entry, and the modes that go with it."""

import pytest
from pairs import BASES

# A second or two each, and there are many.
pytestmark = pytest.mark.slow

CLS = 'https://download.openmmlab.com/mmclassification/v0'


def backbone(cfg):
    return cfg.model.backbone


def test_a_timm_name_gets_its_tag(swapped):
    _, cfg = swapped(BASES['retinanet'], 'timm:resnet10t')
    assert backbone(cfg).model_name == 'resnet10t.c3_in1k'
    assert backbone(cfg).pretrained is True


def test_a_tag_of_one_s_own_stays(swapped):
    done, cfg = swapped(BASES['retinanet'], 'timm:resnet50.tv_in1k')
    assert backbone(cfg).model_name == 'resnet50.tv_in1k'
    assert 'With its tag' not in done.text


def test_a_timm_model_without_weights_is_not_pretrained(swapped):
    done, cfg = swapped(BASES['retinanet'], 'timm:resnetblur18')
    assert backbone(cfg).pretrained is False
    assert done.weights is None
    assert '# timm has no weights for resnetblur18.' in done.text


@pytest.mark.parametrize(
    ('name', 'options', 'checkpoint', 'prefix'),
    [
        ('mmdet.ResNet', dict(depth=50), 'torchvision://resnet50', None),
        (
            'plugin.ConvNeXt',
            {},
            f'{CLS}/convnext/downstream/convnext-tiny_3rdparty_32xb128-noema_in1k_'
            '20220301-795e9634.pth',
            'backbone.',
        ),
        (
            'mmpretrain.RegNet',
            dict(arch='regnetx_4.0gf'),
            f'{CLS}/regnet/regnetx-4.0gf_8xb64_in1k_20211213-efed675c.pth',
            'backbone.',
        ),
        (
            'mmpretrain.ResNet',
            dict(depth=18),
            f'{CLS}/resnet/resnet18_8xb32_in1k_20210831-fbbb1da6.pth',
            'backbone.',
        ),
        # Not one of the many others that train a ResNet-50.
        (
            'mmpretrain.ResNet',
            dict(depth=50),
            f'{CLS}/resnet/resnet50_8xb32_in1k_20210831-ea4938fc.pth',
            'backbone.',
        ),
        (
            'mmpretrain::resnet/resnet50_8xb32_in1k.py',
            {},
            f'{CLS}/resnet/resnet50_8xb32_in1k_20210831-ea4938fc.pth',
            'backbone.',
        ),
        (
            'mmdet::retinanet/retinanet_r101_fpn_1x_coco.py',
            {},
            'torchvision://resnet101',
            None,
        ),
    ],
)
def test_known_weights_are_named(name, options, checkpoint, prefix, swapped):
    done, cfg = swapped(BASES['retinanet'], name, **options)
    wanted = dict(type='Pretrained', checkpoint=checkpoint)
    if prefix:
        wanted['prefix'] = prefix
    assert backbone(cfg).init_cfg == wanted
    assert done.weights == checkpoint


@pytest.mark.parametrize(
    ('name', 'options'),
    [
        # Of another width than the published ones.
        ('mmdet.ResNet', dict(depth=50, base_channels=32)),
        ('plugin.ConvNeXt', dict(arch='atto')),
        ('mmpretrain.ResNet', dict(depth=50, stem_channels=32)),
        ('mmpretrain.ResNet', dict(depth=50, init_cfg=None)),
    ],
)
def test_weights_of_another_variant_are_none(name, options, swapped):
    done, cfg = swapped(BASES['retinanet'], name, **options)
    assert done.weights is None
    assert not backbone(cfg).get('init_cfg')
    assert '# Random weights' in done.text


def test_weights_of_one_s_own_are_taken(swapped):
    init = dict(
        type='Pretrained', checkpoint='https://a.b/mine.pth', prefix='backbone.'
    )
    done, cfg = swapped(
        BASES['retinanet'], 'plugin.ConvNeXt', arch='atto', init_cfg=init
    )
    assert backbone(cfg).init_cfg == init
    assert done.weights == 'https://a.b/mine.pth'


def test_swin_of_microsoft_is_converted(swapped):
    _, cfg = swapped(BASES['retinanet'], 'mmdet.SwinTransformer')
    assert backbone(cfg).convert_weights is True
    assert backbone(cfg).init_cfg.checkpoint.endswith(
        'swin_tiny_patch4_window7_224.pth'
    )


# Modes


def test_a_resnet_freezes_what_the_base_s_does(swapped):
    _, cfg = swapped(BASES['retinanet'], 'mmdet.ResNet', depth=18)
    assert backbone(cfg).frozen_stages == 1
    _, cfg = swapped(BASES['upernet'], 'mmdet.ResNet', depth=18)
    assert 'frozen_stages' not in backbone(cfg)


def test_random_weights_are_not_frozen_nor_their_statistics_kept(swapped):
    _, cfg = swapped(BASES['retinanet'], 'mmdet.ResNet', depth=18, init_cfg=None)
    assert 'frozen_stages' not in backbone(cfg)
    assert backbone(cfg).norm_eval is False


def test_statistics_are_kept_where_the_base_keeps_them(swapped):
    for base, kept in (('retinanet', True), ('yolov5', None), ('upernet', None)):
        _, cfg = swapped(BASES[base], 'timm:resnet10t')
        assert backbone(cfg).get('norm_eval') is kept
    # Kept by default in mmdet's class, and not in the base.
    _, cfg = swapped(BASES['upernet'], 'mmdet.ResNet', depth=18)
    assert backbone(cfg).norm_eval is False


def test_what_a_class_has_by_default_is_not_repeated(swapped):
    _, cfg = swapped(
        BASES['faster-rcnn'], 'mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py'
    )
    assert set(backbone(cfg)) == {
        *('type', 'drop_path_rate', 'convert_weights', 'out_indices', 'init_cfg')
    }


def test_mmpretrain_s_convnext_is_told_to_give_maps(swapped):
    _, cfg = swapped(BASES['retinanet'], 'mmpretrain.ConvNeXt')
    assert backbone(cfg).gap_before_final_norm is False
