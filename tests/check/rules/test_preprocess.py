"""Images are fed otherwise than the pretrained weights were trained."""

import pytest
from one_problem import CLS, DET, RETINANET, SEG, UPERNET, YOLO, Reported, fix_it, write

from plugin.check import check
from plugin.config.problem import WARNING

pytestmark = pytest.mark.slow

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
CAFFE = 'mmdet::retinanet/retinanet_r50-caffe_fpn_1x_coco.py'
YOLOX = 'mmdet::yolox/yolox_s_8xb8-300e_coco.py'
YOLOV5 = 'mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py'


def problem(key, found, expected, fix):
    return Reported(key, 'preprocess', WARNING, found, expected, fix)


def test_another_mean_is_reported_alone(tmp_path):
    text = f'model = dict(data_preprocessor=dict(mean=[0, 0, 0], std={STD}))'
    fix_it(
        write(tmp_path, RETINANET, text),
        problem(
            'model.data_preprocessor.mean',
            [0, 0, 0],
            MEAN,
            f'model.data_preprocessor.mean={MEAN}',
        ),
    )


def test_another_std_is_reported_alone(tmp_path):
    text = 'model = dict(data_preprocessor=dict(std=[1.0, 1.0, 1.0]))'
    fix_it(
        write(tmp_path, RETINANET, text),
        problem(
            'model.data_preprocessor.std',
            [1.0, 1.0, 1.0],
            STD,
            f'model.data_preprocessor.std={STD}',
        ),
    )


def test_channels_in_another_order_take_mean_and_std_with_them(tmp_path):
    text = (
        'model = dict(data_preprocessor=dict(bgr_to_rgb=False, '
        f'mean={MEAN[::-1]}, std={STD[::-1]}))'
    )
    (found,) = check(str(write(tmp_path, RETINANET, text)))
    assert found.key == 'model.data_preprocessor'
    # The standard deviations of red and blue are within 2 %.
    assert found.expected == dict(bgr_to_rgb=True, mean=MEAN)
    fix_it(write(tmp_path, RETINANET, text), found)


def test_weights_of_caffe_want_bgr_without_a_deviation(tmp_path):
    assert check(str(write(tmp_path, CAFFE, ''))) == []
    text = (
        f'model = dict(data_preprocessor=dict(bgr_to_rgb=True, mean={MEAN}, std={STD}))'
    )
    right = dict(bgr_to_rgb=False, mean=MEAN[::-1], std=[1.0, 1.0, 1.0])
    fix_it(
        write(tmp_path, CAFFE, text),
        problem(
            'model.data_preprocessor',
            dict(bgr_to_rgb=True, mean=MEAN, std=STD),
            right,
            '; '.join(f'model.data_preprocessor.{k}={v!r}' for k, v in right.items()),
        ),
    )


def test_a_swap_by_its_other_name_is_fixed_by_that_name(tmp_path):
    text = 'model = dict(data_preprocessor=dict(bgr_to_rgb=False, rgb_to_bgr=True))'
    (found,) = check(str(write(tmp_path, CAFFE, text)))
    assert found.key == 'model.data_preprocessor.rgb_to_bgr'
    assert found.in_short == 'model.data_preprocessor.rgb_to_bgr=False'


def test_what_is_from_scratch_may_be_fed_anything(tmp_path):
    assert check(str(write(tmp_path, YOLOX, ''))) == []
    assert check(str(write(tmp_path, YOLOV5, ''))) == []


def test_yolox_feeds_0_to_255_in_bgr_without_a_word(tmp_path):
    text = (
        f"{DET}model = dict(backbone=dict(_delete_=True, type='ResNet', depth=50, "
        "out_indices=(1, 2, 3), init_cfg=dict(type='Pretrained', "
        "checkpoint='torchvision://resnet50')), "
        'neck=dict(in_channels=[512, 1024, 2048]))'
    )
    right = dict(bgr_to_rgb=True, mean=MEAN, std=STD)
    fix_it(
        write(tmp_path, YOLOX, text),
        problem(
            'model.data_preprocessor',
            dict(bgr_to_rgb=None, mean=None, std=None),
            right,
            '; '.join(f'model.data_preprocessor.{k}={v!r}' for k, v in right.items()),
        ),
    )


def test_timm_s_weights_want_what_timm_says(tmp_path):
    half = [127.5, 127.5, 127.5]
    text = (
        f'{SEG}model = dict(pretrained=None, backbone=dict(_delete_=True, '
        "type='plugin.TIMMBackbone', model_name='tf_efficientnetv2_b0.in1k', "
        'out_indices=(1, 2, 3, 4), {}), '
        'decode_head=dict(in_channels=[32, 48, 112, 192]), '
        'auxiliary_head=dict(in_channels=112))'
    )
    plain = write(tmp_path, UPERNET, text.format('pretrained=False'))
    assert check(str(plain)) == []
    wrong = f'model["data_preprocessor"] = dict(mean={half}, std={half})'
    (found,) = check(
        str(write(tmp_path, UPERNET, f'{text.format("pretrained=True")}\n{wrong}'))
    )
    assert found.key == 'model.data_preprocessor'
    assert found.expected == dict(mean=MEAN, std=STD)


def test_pretrained_of_the_segmentor_counts(tmp_path):
    text = 'model = dict(data_preprocessor=dict(bgr_to_rgb=False))'
    fix_it(
        write(tmp_path, UPERNET, text),
        problem(
            'model.data_preprocessor.bgr_to_rgb',
            False,
            True,
            'model.data_preprocessor.bgr_to_rgb=True',
        ),
    )


def test_what_load_from_brings_is_last(tmp_path):
    # A YOLOv5 takes the place of the other weights, and wants 0 to 1.
    url = (
        'https://download.openmmlab.com/mmyolo/v0/yolov5/'
        'yolov5_s-v61_syncbn_fast_8xb16-300e_coco/'
        'yolov5_s-v61_syncbn_fast_8xb16-300e_coco_20220918_084700-86e02187.pth'
    )
    text = (
        f'{YOLO}load_from = {url!r}\n'
        "model = dict(init_cfg=dict(type='Pretrained', checkpoint='"
        'https://download.openmmlab.com/mmclassification/v0/resnet/'
        "resnet50_8xb32_in1k_20210831-ea4938fc.pth'))"
    )
    config = write(tmp_path, YOLOV5, text)
    assert check(str(config)) == []
    config.write_text(config.read_text().replace('load_from', 'another'))
    (found,) = check(str(config))
    assert (found.key, found.kind) == ('model.data_preprocessor', 'preprocess')


def test_a_pipeline_that_normalizes_is_not_judged(tmp_path):
    text = (
        'model = dict(data_preprocessor=dict(mean=[0, 0, 0], std=[1, 1, 1]))\n'
        "pipeline = [dict(type='LoadImageFromFile'), "
        "dict(type='mmcv.Normalize', mean=[0.0], std=[1.0]), "
        "dict(type='PackDetInputs')]\n"
        'train_dataloader = dict(dataset=dict(pipeline=pipeline))'
    )
    assert check(str(write(tmp_path, RETINANET, text))) == []


def test_classifiers_have_theirs_at_the_top(tmp_path):
    base = 'mmpretrain::resnet/resnet50_8xb32_in1k.py'
    init = dict(type='Pretrained', checkpoint='torchvision://resnet50')
    text = (
        f'{CLS}model = dict(backbone=dict(init_cfg={init}))\n'
        'data_preprocessor = dict(to_rgb=False)'
    )
    fix_it(
        write(tmp_path, base, text),
        problem(
            'data_preprocessor.to_rgb', False, True, 'data_preprocessor.to_rgb=True'
        ),
    )
