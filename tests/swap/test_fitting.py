"""Changes of a config for a new backbone, and no others."""

import pytest
from pairs import BASES

from plugin.spec import FeatureSpec
from plugin.swap.replacement import Offered

# A second or two each, and there are many.
pytestmark = pytest.mark.slow

IMAGENET = dict(
    mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
)


def head_module(cfg):
    return cfg.model.bbox_head.head_module


# Which maps


def test_the_maps_have_the_strides_of_the_base(swapped):
    done, cfg = swapped(BASES['retinanet'], 'timm:resnet10t')
    assert done.out_indices == (1, 2, 3, 4) and done.strides == (4, 8, 16, 32)
    assert cfg.model.neck.in_channels == [64, 128, 256, 512]
    assert cfg.model.neck.start_level == 1


def test_a_map_that_nothing_reads_is_left_out_where_its_norm_would_have_no_gradient(
    swapped,
):
    done, cfg = swapped(BASES['retinanet'], 'plugin.ConvNeXt', arch='atto')
    assert done.out_indices == (1, 2, 3) and done.strides == (8, 16, 32)
    assert cfg.model.neck.in_channels == [80, 160, 320]
    assert cfg.model.neck.start_level == 0
    assert 'find_unused_parameters' not in cfg


def test_the_convolution_for_the_classifier_is_no_map():
    ends_in_one = FeatureSpec((48, 96, 96, 576), (16, 32, 32, 32))
    assert Offered((8, 9, 11, 12), ends_in_one).last_of(32) == 11
    assert Offered((8, 9, 11, 12), ends_in_one).last_of(16) == 8
    assert Offered((8, 9, 11, 12), ends_in_one).last_of(8) is None


def test_blocks_of_a_vit_are_taken_evenly():
    blocks = Offered(tuple(range(12)), FeatureSpec((192,) * 12, (16,) * 12))
    assert blocks.spread(4) == (2, 5, 8, 11)
    assert blocks.spread(1) == (11,)


def test_what_is_idle_in_a_library_s_backbone_is_searched_for(swapped):
    done, cfg = swapped(BASES['yolov5'], 'mmpretrain.MobileNetV3', arch='small')
    assert done.out_indices == (3, 8, 11) and done.channels == (24, 48, 96)
    assert cfg.find_unused_parameters is True
    assert '# No map that is read depends on layer12' in done.text


def test_out_indices_of_one_s_own_move_the_strides_of_the_heads(swapped):
    done, cfg = swapped(BASES['retinanet'], 'timm:resnet10t', (1, 2, 3))
    assert cfg.model.neck.start_level == 0
    assert cfg.model.bbox_head.anchor_generator.strides == [4, 8, 16, 32, 64]
    assert done.notes == ("other strides than the base's 8, 16, 32",)


def test_the_strides_of_both_stages_move(swapped):
    _, cfg = swapped(BASES['faster-rcnn'], 'timm:resnet10t', (0, 1, 2, 3))
    assert cfg.model.rpn_head.anchor_generator.strides == [2, 4, 8, 16, 32]
    assert cfg.model.roi_head.bbox_roi_extractor.featmap_strides == [2, 4, 8, 16]


@pytest.mark.parametrize(
    'base',
    [
        'mmyolo::yolox/yolox_s_fast_8xb8-300e_coco.py',
        'mmyolo::yolov6/yolov6_s_syncbn_fast_8xb32-400e_coco.py',
    ],
)
def test_strides_that_are_a_default_of_the_head_are_written(base, swapped):
    _, cfg = swapped(base, 'timm:resnet10t', (1, 2, 3))
    assert 'prior_generator' in cfg.model.bbox_head
    assert cfg.model.bbox_head.prior_generator.strides == [4, 8, 16]
    assert head_module(cfg).featmap_strides == [4, 8, 16]


# Channels


def test_neck_and_head_of_yolov5_and_yolov8_follow_together(swapped):
    for base in ('yolov5', 'yolov8'):
        done, cfg = swapped(BASES[base], 'mmpretrain.MobileNetV3', arch='small')
        channels = [24, 48, 96]
        assert cfg.channels == channels
        assert cfg.model.neck.in_channels == cfg.model.neck.out_channels == channels
        assert head_module(cfg).in_channels == channels
        assert cfg.model.neck.widen_factor == head_module(cfg).widen_factor == 1.0
        assert done.text.count('channels = [24, 48, 96]') == 1


def test_the_head_of_rtmdet_stays(swapped):
    _, cfg = swapped(BASES['rtmdet'], 'plugin.ConvNeXt', arch='atto')
    assert cfg.model.neck.in_channels == [80, 160, 320]
    assert cfg.model.neck.out_channels == 128
    assert cfg.model.neck.widen_factor == 1.0
    assert (head_module(cfg).in_channels, head_module(cfg).widen_factor) == (256, 0.5)


def test_nothing_is_written_of_a_neck_that_fits_as_it_is(swapped):
    _, cfg = swapped(
        BASES['yolov5'],
        'mmyolo.YOLOv6EfficientRep',
        deepen_factor=0.33,
        widen_factor=0.5,
    )
    assert cfg.model.neck.in_channels == [256, 512, 1024]
    assert cfg.model.neck.widen_factor == 0.5


def test_the_heads_of_a_segmentor_follow(swapped):
    _, cfg = swapped(BASES['upernet'], 'timm:resnet10t')
    assert cfg.model.decode_head.in_channels == [64, 128, 256, 512]
    assert cfg.model.auxiliary_head.in_channels == 256
    assert cfg.model.pretrained is None


def test_heads_in_a_list_follow(swapped):
    done, cfg = swapped(
        'mmseg::ocrnet/ocrnet_hr18_4xb4-80k_ade20k-512x512.py', 'timm:resnet10t'
    )
    assert len(cfg.model.decode_head) == 2
    for head in cfg.model.decode_head:
        assert head.in_channels == [64, 128, 256, 512]
    assert 'decode_head = _base_.model.decode_head' in done.text


def test_in_index_counts_from_the_first_map_that_there_is(swapped):
    done, cfg = swapped(BASES['pspnet'], 'plugin.ConvNeXt', arch='atto')
    assert done.out_indices == (2, 3)
    assert (cfg.model.decode_head.in_index, cfg.model.decode_head.in_channels) == (
        1,
        320,
    )
    aux = cfg.model.auxiliary_head
    assert (aux.in_index, aux.in_channels) == (0, 160)


def test_the_first_map_of_deeplabv3plus_follows_too(swapped):
    base = 'mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-80k_ade20k-512x512.py'
    _, cfg = swapped(base, 'timm:resnet10t')
    assert cfg.model.decode_head.c1_in_channels == 64


# Dilation, and one stride for all


@pytest.mark.parametrize(
    ('backbone', 'options', 'written'),
    [
        ('timm:resnet10t', {}, dict(timm_kwargs=dict(output_stride=8))),
        (
            'mmpretrain.ResNet',
            dict(depth=18),
            dict(strides=(1, 2, 1, 1), dilations=(1, 1, 2, 4)),
        ),
        (
            'mmdet.RegNet',
            dict(arch='regnetx_400mf'),
            dict(strides=(2, 2, 1, 1), dilations=(1, 1, 2, 4)),
        ),
    ],
)
def test_a_dilated_base_gets_a_dilated_backbone(backbone, options, written, swapped):
    done, cfg = swapped(BASES['pspnet'], backbone, **options)
    assert done.strides == (4, 8, 8, 8)
    assert {k: cfg.model.backbone[k] for k in written} == written


def test_of_a_backbone_that_can_t_dilate_it_is_said(swapped):
    done, _ = swapped(BASES['pspnet'], 'mmpretrain.MobileNetV3', arch='small')
    assert done.strides == (4, 8, 16, 32)
    assert done.notes[0] == "other strides than the base's 4, 8, 8, 8"
    assert "# The base's ResNetV1c is dilated from stride 8 on." in done.text


def test_a_plain_vit_becomes_a_pyramid_for_retinanet(swapped):
    done, cfg = swapped(BASES['retinanet'], 'timm:vit_tiny_patch16_224')
    assert done.out_indices == (11,)
    assert cfg.model.neck == dict(
        type='plugin.SimpleFeaturePyramid',
        in_channels=[192],
        out_channels=256,
        scales=(2, 1, 0.5),
        extra_maps=2,
    )


def test_a_plain_vit_becomes_a_pyramid_for_faster_rcnn(swapped):
    _, cfg = swapped(BASES['faster-rcnn'], 'timm:vit_tiny_patch16_224')
    assert cfg.model.neck.scales == (4, 2, 1, 0.5)
    assert cfg.model.neck.extra_maps == 1


def test_a_plain_vit_becomes_a_pyramid_for_upernet(swapped):
    done, cfg = swapped(BASES['upernet'], 'timm:vit_tiny_patch16_224')
    assert done.out_indices == (2, 5, 8, 11)
    neck = dict(type='Feature2Pyramid', embed_dim=192, rescales=[4, 2, 1, 0.5])
    assert {k: cfg.model.neck[k] for k in neck} == neck
    assert cfg.model.decode_head.in_channels == [192] * 4


def test_patches_of_14_pixels_are_resampled_to_16(swapped):
    done, _ = swapped(BASES['upernet'], 'timm:vit_small_patch14_dinov2')
    assert done.strides == (16, 16, 16, 16)


# What the weights want


def test_mean_and_std_are_those_of_the_weights(swapped):
    _, cfg = swapped(BASES['yolox'], 'plugin.ConvNeXt')
    fed = cfg.model.data_preprocessor
    assert {k: fed[k] for k in IMAGENET} == IMAGENET
    _, cfg = swapped(BASES['upernet'], 'timm:vit_tiny_patch16_224')
    fed = cfg.model.data_preprocessor
    assert (fed.mean, fed.std, fed.bgr_to_rgb) == ([127.5] * 3, [127.5] * 3, True)


def test_blue_comes_first_where_the_weights_have_it_so(swapped):
    _, cfg = swapped(BASES['upernet'], 'mmpretrain.RegNet', arch='regnetx_400mf')
    fed = cfg.model.data_preprocessor
    assert fed.mean == [103.53, 116.28, 123.675]
    assert fed.std == [57.375, 57.12, 58.395]
    assert fed.bgr_to_rgb is False


def test_random_weights_are_fed_as_the_base_does(swapped, own_net):
    done, cfg = swapped(BASES['yolov5'], 'plugin.SwappedNet', imports=[own_net])
    assert done.weights is None
    assert cfg.model.data_preprocessor.mean == [0.0] * 3
    assert '# Random weights' in done.text


def test_timm_s_random_weights_are_too(swapped):
    done, cfg = swapped(BASES['yolov5'], 'timm:resnet10t', pretrained=False)
    assert done.weights is None
    assert cfg.model.data_preprocessor.mean == [0.0] * 3


def test_weights_that_want_what_the_base_feeds_leave_it(swapped):
    done, _ = swapped(BASES['retinanet'], 'timm:resnet10t')
    assert 'data_preprocessor' not in done.text
