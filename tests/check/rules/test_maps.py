"""Channels, levels and strides: found, and fixed by one line each."""

import pytest
from one_problem import RETINANET, SEG, UPERNET, Reported, fix_it, write

from plugin.check import check
from plugin.config.problem import ERROR

pytestmark = pytest.mark.slow

FASTER = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
YOLOX = 'mmdet::yolox/yolox_s_8xb8-300e_coco.py'
YOLOV3 = 'mmdet::yolo/yolov3_d53_8xb8-320-273e_coco.py'
PSPNET = 'mmseg::pspnet/pspnet_r50-d8_4xb4-80k_ade20k-512x512.py'
YOLOV5 = 'mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py'
YOLOV6 = 'mmyolo::yolov6/yolov6_s_syncbn_fast_8xb32-400e_coco.py'
YOLOV8 = 'mmyolo::yolov8/yolov8_s_syncbn_fast_8xb16-500e_coco.py'
RTMDET = 'mmyolo::rtmdet/rtmdet_tiny_syncbn_fast_8xb32-300e_coco.py'
NECK = 'model.neck.in_channels'


def backbone(text, more=''):
    return f'model = dict(backbone=dict(_delete_=True, {text}){more})'


def checked(tmp_path, base, text):
    return check(str(write(tmp_path, base, text)))


def one(tmp_path, base, text):
    """Return the only problem, which its fix corrects."""
    path = write(tmp_path, base, text)
    (problem,) = check(str(path))
    fix_it(path, problem)
    return problem


# mmdet


def test_channels_are_reported_with_what_the_backbone_gives(tmp_path):
    text = backbone("type='plugin.ConvNeXt', arch='tiny'")
    fix_it(
        write(tmp_path, RETINANET, text),
        Reported(
            NECK,
            'channels',
            ERROR,
            [256, 512, 1024, 2048],
            [96, 192, 384, 768],
            f'{NECK}=[96, 192, 384, 768]',
        ),
    )


def test_fewer_maps_move_the_level_at_which_the_neck_begins(tmp_path):
    """The anchors of RetinaNet begin at stride 8, which is the first map now."""
    text = 'model = dict(backbone=dict(out_indices=(1, 2, 3)))'
    problem = one(tmp_path, RETINANET, text)
    assert (problem.key, problem.kind) == (NECK, 'levels')
    assert problem.in_short == f'{NECK}=[512, 1024, 2048]; model.neck.start_level=0'


def test_what_no_level_mends_moves_the_anchors_as_well(tmp_path):
    text = 'model = dict(backbone=dict(out_indices=(2, 3)))'
    levels, strides = checked(tmp_path, RETINANET, text)
    assert levels.kind == 'levels' and levels.in_short.startswith(
        f'{NECK}=[1024, 2048]'
    )
    assert (strides.kind, strides.found) == ('strides', [8, 16, 32, 64, 128])


def test_more_maps_than_a_pafpn_takes_leave_the_finest_out(tmp_path):
    problem = one(tmp_path, YOLOX, backbone("type='ResNet', depth=50"))
    assert problem.in_short == (
        'model.backbone.out_indices=[1, 2, 3]; model.neck.in_channels=[512, 1024, 2048]'
    )


def test_strides_that_a_head_leaves_to_its_class_are_compared(tmp_path):
    """mmdet's YOLOXHead has strides 8, 16 and 32 unless it is given others."""
    text = backbone(
        "type='ResNet', depth=50, out_indices=(0, 1, 2)",
        ', neck=dict(in_channels=[256, 512, 1024])',
    )
    problem = one(tmp_path, YOLOX, text)
    assert (problem.key, problem.kind) == ('model.bbox_head.strides', 'strides')
    assert problem.in_short == 'model.bbox_head.strides=(4, 8, 16)'


def test_anchors_that_a_head_leaves_to_its_class_are_written_out(tmp_path):
    text = (
        "model = dict(type='RetinaNet', neck=dict(start_level=0), "
        "bbox_head=dict(_delete_=True, type='AnchorHead', num_classes=80, "
        'in_channels=256), backbone=dict(strides=(1, 1, 2, 2)))'
    )
    problem = one(tmp_path, RETINANET, text)
    assert problem.key == 'model.bbox_head.anchor_generator.strides'
    assert problem.found == [4, 8, 16, 32, 64]
    assert problem.expected == [4, 4, 8, 16, 32]
    assert problem.in_short.startswith(
        "model.bbox_head.anchor_generator={'type': 'Anch"
    )


def test_heads_that_do_not_follow_the_neck_are_each_reported(tmp_path):
    problems = checked(tmp_path, FASTER, 'model = dict(neck=dict(out_channels=128))')
    assert [(p.key, p.in_short.rpartition('=')[2]) for p in problems] == [
        ('model.rpn_head.in_channels', '128'),
        ('model.roi_head.bbox_roi_extractor.out_channels', '128'),
        ('model.roi_head.bbox_head.in_channels', '128'),
    ]


def test_a_pyramid_of_one_map_has_strides_of_its_own(tmp_path):
    """A ViT of patch 16 gives stride 16; the scales 4 to 0.5 make it 4 to 32."""
    vit = (
        "type='plugin.TIMMBackbone', model_name='vit_tiny_patch16_224', "
        'out_indices=(11,)'
    )
    neck = (
        ", neck=dict(_delete_=True, type='plugin.SimpleFeaturePyramid', "
        'in_channels=[192], out_channels=256, extra_maps=1)'
    )
    (strides,) = checked(tmp_path, RETINANET, backbone(vit, neck))
    assert strides.kind == 'strides'
    assert strides.expected == [4, 8, 16, 32, 64]
    fix_it(tmp_path / 'config.py', strides)


def test_several_maps_for_a_pyramid_of_one_leave_the_last(tmp_path):
    vit = (
        "type='plugin.TIMMBackbone', model_name='vit_tiny_patch16_224', "
        'out_indices=(10, 11)'
    )
    neck = (
        ", neck=dict(_delete_=True, type='plugin.SimpleFeaturePyramid', "
        'in_channels=[192], out_channels=256, scales=(2, 1, 0.5), extra_maps=2)'
    )
    problem = one(tmp_path, RETINANET, backbone(vit, neck))
    assert (
        problem.in_short
        == 'model.backbone.out_indices=[11]; model.neck.in_channels=[192]'
    )


def test_a_neck_that_begins_at_the_coarsest_map_is_compared_by_number(tmp_path):
    text = 'model = dict(backbone=dict(out_indices=(4, 5)))'
    problem, *_ = checked(tmp_path, YOLOV3, text)
    assert problem.found == '[1024, 512, 256], but the backbone returns 2 feature maps'
    assert problem.expected == 'channels of 2 feature maps'


# mmseg


def test_a_head_that_reads_a_map_which_is_not_there_gets_those_that_are(tmp_path):
    text = 'model = dict(decode_head=dict(in_index=[0, 1, 2, 4]))'
    problem = one(tmp_path, UPERNET, text)
    assert (problem.kind, problem.found, problem.expected) == (
        'levels',
        'in_index has 4, but the backbone returns 4 feature maps',
        'indices from 0 to 3',
    )
    assert problem.in_short == 'model.decode_head.in_index=[0, 1, 2, 3]'


def test_an_index_past_the_end_of_a_pyramid_names_the_neck(tmp_path):
    text = SEG + backbone(
        "type='plugin.TIMMBackbone', model_name='vit_tiny_patch16_224', "
        'out_indices=(11,)',
        ", neck=dict(type='plugin.SimpleFeaturePyramid', in_channels=[192]), "
        'decode_head=dict(in_channels=[256] * 4), '
        'auxiliary_head=dict(in_channels=256, in_index=4)',
    ).replace('dict(backbone', 'dict(pretrained=None, backbone', 1)
    (problem,) = checked(tmp_path, UPERNET, text)
    assert problem.found == 'in_index has 4, but the neck returns 4 feature maps'
    assert problem.expected == 'indices from 0 to 3'


def test_three_maps_for_four_are_a_new_index_and_new_channels(tmp_path):
    text = 'model = dict(backbone=dict(out_indices=(0, 1, 2), strides=(1, 2, 1, 1)))'
    first, *_ = checked(tmp_path, UPERNET, text)
    assert first.in_short == (
        'model.decode_head.in_index=[0, 1, 2]; '
        'model.decode_head.in_channels=[256, 512, 1024]'
    )


def test_an_index_past_the_end_goes_to_the_map_of_its_channels(tmp_path):
    text = 'model = dict(auxiliary_head=dict(in_index=4))'
    problem = one(tmp_path, PSPNET, text)
    assert problem.in_short == 'model.auxiliary_head.in_index=2'


def test_two_auxiliary_heads_are_distinguished(tmp_path):
    text = (
        "head = dict(type='FCNHead', channels=64, num_classes=150)\n"
        'model = dict(auxiliary_head=[dict(in_channels=9, in_index=1, **head), '
        'dict(in_channels=8, in_index=2, **head)])'
    )
    problems = checked(tmp_path, PSPNET, text)
    assert [(p.key, p.expected) for p in problems] == [
        ('model.auxiliary_head[0].in_channels', [512]),
        ('model.auxiliary_head[1].in_channels', [1024]),
    ]


def test_heads_behind_a_pyramid_read_its_maps_not_the_backbones(tmp_path):
    text = SEG + backbone(
        "type='plugin.TIMMBackbone', model_name='vit_tiny_patch16_224', "
        'out_indices=(11,)',
        ", neck=dict(type='plugin.SimpleFeaturePyramid', in_channels=[192]), "
        'decode_head=dict(in_channels=[256] * 4), auxiliary_head=dict(in_channels=256)',
    ).replace('dict(backbone', 'dict(pretrained=None, backbone', 1)
    assert checked(tmp_path, UPERNET, text) == []


# mmyolo


def test_channels_are_written_for_the_factor_where_it_gives_them(tmp_path):
    text = backbone(
        "type='mmpretrain.MobileNetV3', arch='small', out_indices=(3, 8, 11)"
    )
    problem = one(tmp_path, RTMDET, text)
    assert problem.found == (
        '[256, 512, 1024]; times widen_factor=0.375 this is [96, 192, 384]'
    )
    assert problem.expected.endswith('] once multiplied by widen_factor')
    assert problem.in_short == 'model.neck.in_channels=[64, 128, 256]'


def test_neck_and_head_of_yolov5_are_each_written_for_their_factor(tmp_path):
    text = backbone("type='mmdet.ResNet', depth=50, out_indices=(1, 2, 3)")
    problems = checked(tmp_path, YOLOV5, text)
    assert {p.key: p.in_short.rpartition('=')[2] for p in problems} == {
        'model.neck.in_channels': '[1024, 2048, 4096]',
        'model.neck.out_channels': '[1024, 2048, 4096]',
        'model.bbox_head.head_module.in_channels': '[1024, 2048, 4096]',
    }


def test_where_the_factor_cannot_give_them_it_is_1(tmp_path):
    """37.5 % of no whole number is 40."""
    text = backbone(
        "type='mmpretrain.MobileNetV3', arch='large', out_indices=(6, 12, 16)"
    )
    problem = one(tmp_path, RTMDET, text)
    assert problem.in_short == (
        'model.neck.widen_factor=1.0; model.neck.in_channels=[40, 112, 960]; '
        'model.neck.out_channels=96'
    )


def test_a_head_without_its_factor_keeps_its_own_width(tmp_path):
    text = 'model = dict(neck=dict(widen_factor=1.0, in_channels=[96, 192, 384], '
    text += 'out_channels=100))'
    problem = one(tmp_path, RTMDET, text)
    assert problem.in_short == (
        'model.bbox_head.head_module.widen_factor=1.0; '
        'model.bbox_head.head_module.in_channels=100; '
        'model.bbox_head.head_module.feat_channels=96'
    )


@pytest.mark.parametrize(
    ('given', 'fix'),
    [
        ('(0, 1, 2, 3)', '[1, 2, 3]'),
        ('(2, 3)', '[1, 2, 3]'),
    ],
)
def test_a_yolo_gets_as_many_maps_as_it_is_made_for(tmp_path, given, fix):
    text = backbone(f"type='mmdet.ResNet', depth=50, out_indices={given}")
    problem = one(tmp_path, YOLOV6, text)
    assert problem.in_short == (
        f'model.backbone.out_indices={fix}; model.neck.in_channels=[1024, 2048, 4096]'
    )


def test_a_number_of_maps_that_nothing_mends_is_left_to_the_user(tmp_path):
    """mmpretrain's HRNet gives four maps, whatever it is given."""
    text = backbone("type='mmpretrain.HRNet', arch='w18'")
    (problem,) = checked(tmp_path, YOLOV6, text)
    assert (problem.kind, problem.in_short) == ('levels', 'model.neck.in_channels=...')


def test_what_is_rounded_to_eights_may_be_impossible():
    from plugin.yolo.wiring import written_for

    part = dict(type='YOLOv5PAFPN', widen_factor=0.5)
    assert written_for(part, (128, 256)) == [256, 512]
    assert written_for(part, (36,)) is None
