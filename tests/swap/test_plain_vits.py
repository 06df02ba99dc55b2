"""Plain ViTs under heads of every kind, by the pyramid that swap writes."""

import pytest
from mmengine.config import Config

from plugin.check import check
from plugin.seg.wiring import slots
from plugin.spec import FeatureSpec, mismatches
from plugin.swap import swap

VIT = 'timm:vit_tiny_patch16_224'
BASES = {
    'RTMDet of mmyolo': 'mmyolo::rtmdet/rtmdet_s_syncbn_fast_8xb32-300e_coco.py',
    'DINO': 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py',
    'YOLOv5': 'mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py',
    'YOLOv8': 'mmyolo::yolov8/yolov8_s_syncbn_fast_8xb16-500e_coco.py',
    'YOLOv6': 'mmyolo::yolov6/yolov6_s_syncbn_fast_8xb32-400e_coco.py',
    'YOLOX': 'mmdet::yolox/yolox_s_8xb8-300e_coco.py',
    'YOLOX of mmyolo': 'mmyolo::yolox/yolox_s_fast_8xb8-300e_coco.py',
    'RTMDet': 'mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py',
    'Deformable DETR': 'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
    'Mask2Former': 'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
    'DETR': 'mmdet::detr/detr_r50_8xb2-150e_coco.py',
    'Faster R-CNN': 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'RetinaNet': 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
    'UPerNet': 'mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py',
    'Mask2Former of mmseg': 'mmseg::mask2former/'
    'mask2former_r50_8xb2-160k_ade20k-512x512.py',
    'PSPNet': 'mmseg::pspnet/pspnet_r50-d8_4xb4-80k_ade20k-512x512.py',
    'FCN': 'mmseg::fcn/fcn_r50-d8_4xb4-80k_ade20k-512x512.py',
    'DeepLabV3+': 'mmseg::deeplabv3plus/'
    'deeplabv3plus_r50-d8_4xb4-80k_ade20k-512x512.py',
}


FIRST = ('RTMDet of mmyolo', 'DINO', 'Mask2Former')


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=[] if name in FIRST else [pytest.mark.wide])
        for name in BASES
    ],
)
@pytest.mark.slow
def test_swap_writes_a_config_in_which_nothing_is_wrong(name, tmp_path):
    out = tmp_path / 'vit.py'
    swap(BASES[name], VIT, out)
    assert [p for p in check(str(out)) if p.severity == 'error'] == []


@pytest.mark.slow
def test_a_model_without_a_place_for_a_second_neck_gets_the_wrapper(tmp_path):
    out = tmp_path / 'vit.py'
    done = swap(BASES['RTMDet of mmyolo'], 'timm:vit_small_patch14_dinov2', out)
    model = Config.fromfile(out).model
    assert model.backbone.type == 'plugin.PyramidBackbone'
    assert model.backbone.backbone.type == 'plugin.TIMMBackbone'
    # The channels of the base's own, so that neck and head stay as they are.
    assert model.backbone.out_channels == [128, 256, 512]
    assert done.strides == (8, 16, 32)


@pytest.mark.parametrize(
    ('name', 'strides'), [('DINO', (7, 14, 28)), ('Mask2Former', (3.5, 7, 14, 28))]
)
@pytest.mark.slow
def test_heads_without_strides_take_patches_of_14_pixels(name, strides, tmp_path):
    out = tmp_path / 'vit.py'
    own = dict(timm_kwargs=dict(patch_size=14))
    done = swap(BASES[name], VIT, out, own)
    assert done.strides == strides
    assert [p for p in check(str(out)) if p.severity == 'error'] == []


@pytest.mark.slow
def test_the_mask2former_of_mmdet_has_no_neck_and_gets_the_wrapper(tmp_path):
    out = tmp_path / 'vit.py'
    done = swap(BASES['Mask2Former'], VIT, out)
    model = Config.fromfile(out).model
    assert model.backbone.type == 'plugin.PyramidBackbone'
    assert done.strides == (4, 8, 16, 32)
    assert model.panoptic_head.in_channels == [256] * 4


@pytest.mark.parametrize(
    ('embed_dim', 'in_channels', 'wrong'),
    [
        (192, [192] * 4, []),
        (384, [384] * 4, ['model.neck.embed_dim']),
        (192, [384] * 4, ['model.decode_head.in_channels']),
    ],
)
def test_the_channels_of_a_segmentors_pyramid_are_known(embed_dim, in_channels, wrong):
    model = dict(
        neck=dict(type='Feature2Pyramid', embed_dim=embed_dim, rescales=[4, 2, 1, 0.5]),
        decode_head=dict(in_channels=in_channels, in_index=[0, 1, 2, 3]),
    )
    found = mismatches(slots(model), FeatureSpec((192,) * 4, (16,) * 4))
    assert [mismatch.slot.key for mismatch in found] == wrong
