"""Places where libraries write channel counts, on right and on wrong configs."""

import glob
from importlib import import_module
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from plugin.measure.features import measure
from plugin.spec import (
    CHANNELS,
    LEVELS,
    STRIDES,
    FeatureSpec,
    Slot,
    expected,
    mismatches,
)

RESNET = FeatureSpec((256, 512, 1024, 2048), (4, 8, 16, 32))
TINY = FeatureSpec((192, 384, 768), (8, 16, 32))


def slots(task, model):
    return import_module(f'plugin.{task}.wiring').slots(model)


def model(base):
    return Config.fromfile(next(iter(upstream(base)))).model


def upstream(pattern):
    library, _, path = pattern.partition('::')
    root = Path(import_module(library).__file__).parent / '.mim/configs'
    return sorted(glob.glob(str(root / path), recursive=True))


def by_key(task, config, spec):
    return {d.slot.key: d for d in mismatches(slots(task, config), spec)}


@pytest.fixture
def retinanet():
    return model('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py')


@pytest.fixture
def yolov5():
    return model('mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py')


@pytest.fixture
def upernet():
    return model('mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py')


# What a backbone gives, with its expected numbers


def test_a_map_beyond_the_last_has_twice_the_stride_of_the_one_before():
    slot = Slot('strides', STRIDES, [8, 16, 32, 64, 128], (), maps=(0, 1, 2, 3, 4))
    assert expected(slot, TINY) == (8, 16, 32, 64, 128)


def test_negative_maps_count_from_the_end():
    assert expected(Slot('head', CHANNELS, 768, (768,), maps=(-1,)), TINY) == (768,)


def test_fixed_numbers_don_t_depend_on_the_backbone():
    assert expected(Slot('head', CHANNELS, 4, (4,), fixed=(256,)), TINY) == (256,)


def test_a_map_that_is_not_there_is_told_with_those_that_are():
    (found,) = mismatches([Slot('head', CHANNELS, 9, (9,), maps=(3,))], TINY)
    assert (found.kind, found.expected) == (LEVELS, (0, 1, 2))


# mmdet


def test_retinanet_agrees_with_the_backbone_that_it_is_written_for(retinanet):
    assert by_key('det', retinanet, RESNET) == {}


def test_a_narrower_backbone_is_found_at_the_neck(retinanet):
    found = by_key('det', retinanet, FeatureSpec((96, 192, 384, 768), RESNET.strides))
    assert list(found) == ['model.neck.in_channels']
    wrong = found['model.neck.in_channels']
    assert wrong.kind == CHANNELS and wrong.expected == (96, 192, 384, 768)


def test_three_maps_for_four_are_a_matter_of_levels(retinanet):
    assert by_key('det', retinanet, TINY)['model.neck.in_channels'].kind == LEVELS


def test_anchors_of_other_strides_than_the_maps_are_found(retinanet):
    finer = FeatureSpec(RESNET.channels, (2, 4, 8, 16))
    (wrong,) = by_key('det', retinanet, finer).values()
    assert wrong.slot.key == 'model.bbox_head.anchor_generator.strides'
    assert wrong.kind == STRIDES and wrong.expected == (4, 8, 16, 32, 64)


def test_start_level_moves_the_strides(retinanet):
    retinanet.neck.start_level = 0
    (wrong,) = by_key('det', retinanet, RESNET).values()
    assert wrong.expected == (4, 8, 16, 32, 64)


def test_a_head_that_does_not_take_what_the_neck_gives_is_found(retinanet):
    retinanet.neck.out_channels = 128
    (wrong,) = by_key('det', retinanet, RESNET).values()
    assert wrong.slot.key == 'model.bbox_head.in_channels' and wrong.expected == (128,)


def test_both_stages_of_mask_rcnn_have_slots():
    mask_rcnn = model('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py')
    assert by_key('det', mask_rcnn, RESNET) == {}
    assert [slot.key for slot in slots('det', mask_rcnn)] == [
        'model.neck.in_channels',
        'model.rpn_head.in_channels',
        'model.roi_head.bbox_roi_extractor.out_channels',
        'model.roi_head.mask_roi_extractor.out_channels',
        'model.rpn_head.anchor_generator.strides',
        'model.roi_head.bbox_roi_extractor.featmap_strides',
        'model.roi_head.mask_roi_extractor.featmap_strides',
    ]


def test_without_a_neck_the_heads_take_the_last_map():
    c4 = model('mmdet::faster_rcnn/faster-rcnn_r50-caffe-c4_ms-1x_coco.py')
    assert by_key('det', c4, FeatureSpec((1024,), (16,))) == {}
    (wrong,) = by_key('det', c4, FeatureSpec((384,), (16,))).values()
    assert wrong.slot.key == 'model.rpn_head.in_channels' and wrong.expected == (384,)


def test_of_several_necks_the_first_takes_the_maps_and_the_last_feeds_the_head():
    libra = model('mmdet::libra_rcnn/libra-retinanet_r50_fpn_1x_coco.py')
    keys = [slot.key for slot in slots('det', libra)]
    assert keys[:2] == ['model.neck[0].in_channels', 'model.bbox_head.in_channels']
    assert by_key('det', libra, RESNET) == {}


def test_hrfpn_pools_the_finest_map_with_a_stride_of_its_own():
    fcos = model('mmdet::hrnet/fcos_hrnetv2p-w18-gn-head_4xb4-1x_coco.py')
    spec = FeatureSpec((18, 36, 72, 144), (4, 8, 16, 32))
    assert by_key('det', fcos, spec) == {}
    fcos.neck.stride = 1
    (wrong,) = by_key('det', fcos, spec).values()
    assert wrong.expected == (4, 8, 16, 32, 64)


def test_a_pyramid_of_one_map_resizes_it(retinanet):
    retinanet.neck = dict(
        type='plugin.SimpleFeaturePyramid',
        in_channels=[192],
        out_channels=256,
        scales=(2, 1, 0.5),
        extra_maps=2,
    )
    assert by_key('det', retinanet, FeatureSpec((192,), (16,))) == {}
    (wrong,) = by_key('det', retinanet, FeatureSpec((192,), (8,))).values()
    assert wrong.kind == STRIDES and wrong.expected == (4, 8, 16, 32, 64)


def test_a_neck_without_channels_says_nothing_of_the_heads(retinanet):
    retinanet.neck = dict(type='plugin.OwnNeck')
    assert slots('det', retinanet) == []


# mmyolo


def test_what_is_written_counts_after_the_widen_factor(yolov5):
    found = {slot.key: slot for slot in slots('yolo', yolov5)}
    neck = found['model.neck.in_channels']
    assert neck.written == [256, 512, 1024] and neck.effective == (128, 256, 512)
    assert neck.factor_key == 'model.neck.widen_factor'
    spec = FeatureSpec((128, 256, 512), (8, 16, 32))
    assert by_key('yolo', yolov5, spec) == {}


def test_neck_and_head_of_yolov5_both_follow_the_backbone(yolov5):
    assert set(by_key('yolo', yolov5, TINY)) == {
        'model.neck.in_channels',
        'model.neck.out_channels',
        'model.bbox_head.head_module.in_channels',
    }


def test_yolov5_rounds_up_to_eights(yolov5):
    """40 channels are possible and 36 are not: make_divisible makes them 40."""
    yolov5.neck.update(in_channels=[36, 40, 48], widen_factor=1.0)
    spec = FeatureSpec((36, 40, 48), (8, 16, 32))
    wrong = by_key('yolo', yolov5, spec)['model.neck.in_channels']
    assert wrong.slot.effective == (40, 40, 48) and wrong.expected == (36, 40, 48)


def test_yolox_rounds_down_and_its_head_follows_its_neck():
    yolox = model('mmyolo::yolox/yolox_s_fast_8xb8-300e_coco.py')
    yolox.neck.update(in_channels=[150, 300, 601], widen_factor=0.5)
    spec = FeatureSpec((75, 150, 300), (8, 16, 32))
    assert by_key('yolo', yolox, spec) == {}
    yolox.neck.out_channels = 200
    (wrong,) = by_key('yolo', yolox, spec).values()
    assert wrong.slot.key == 'model.bbox_head.head_module.in_channels'
    assert wrong.slot.effective == (128,) and wrong.expected == (100,)


def test_priors_of_other_strides_than_the_maps_are_found(yolov5):
    spec = FeatureSpec((128, 256, 512), (4, 8, 16))
    assert set(by_key('yolo', yolov5, spec)) == {
        'model.bbox_head.head_module.featmap_strides',
        'model.bbox_head.prior_generator.strides',
    }


# mmseg


def test_upernet_agrees_with_the_backbone_that_it_is_written_for(upernet):
    assert by_key('seg', upernet, RESNET) == {}


def test_decode_head_and_auxiliary_head_follow_their_in_index(upernet):
    found = by_key('seg', upernet, FeatureSpec((96, 192, 384, 768), RESNET.strides))
    assert found['model.decode_head.in_channels'].expected == (96, 192, 384, 768)
    assert found['model.auxiliary_head.in_channels'].expected == (384,)


def test_an_in_index_without_a_map_is_a_matter_of_levels(upernet):
    wrong = by_key('seg', upernet, TINY)['model.decode_head.in_channels']
    assert wrong.kind == LEVELS and wrong.expected == (0, 1, 2)


def test_several_auxiliary_heads_are_told_apart(upernet):
    first = upernet.auxiliary_head
    upernet.auxiliary_head = [first, dict(first, in_index=1, in_channels=9)]
    (wrong,) = by_key('seg', upernet, RESNET).values()
    assert wrong.slot.key == 'model.auxiliary_head[1].in_channels'
    assert wrong.expected == (512,)


def test_a_head_behind_a_neck_follows_the_neck(upernet):
    upernet.neck = dict(type='FPN', in_channels=list(RESNET.channels), out_channels=64)
    upernet.decode_head.in_channels = [64] * 4
    (wrong,) = by_key('seg', upernet, RESNET).values()
    assert wrong.slot.key == 'model.auxiliary_head.in_channels'
    assert wrong.expected == (64,)


def test_a_head_behind_a_pyramid_has_as_many_maps_as_that(upernet):
    upernet.neck = dict(
        type='plugin.SimpleFeaturePyramid', in_channels=[192], out_channels=256
    )
    upernet.decode_head.in_channels = [256] * 4
    upernet.auxiliary_head.in_channels = 256
    assert by_key('seg', upernet, FeatureSpec((192,), (16,))) == {}
    upernet.decode_head.in_index = [0, 1, 2, 4]
    (wrong,) = by_key('seg', upernet, FeatureSpec((192,), (16,))).values()
    assert wrong.kind == LEVELS and wrong.expected == (0, 1, 2, 3)


# mmpretrain


def test_a_classifier_takes_the_last_map():
    resnet = model('mmpretrain::resnet/resnet50_8xb32_in1k.py')
    assert by_key('cls', resnet, RESNET) == {}
    (wrong,) = by_key('cls', resnet, TINY).values()
    assert wrong.slot.key == 'model.head.in_channels' and wrong.expected == (768,)


def test_a_neck_with_channels_of_its_own_takes_all_maps():
    hrnet = model('mmpretrain::hrnet/hrnet-w18_4xb32_in1k.py')
    spec = FeatureSpec((18, 36, 72, 144), (4, 8, 16, 32))
    assert by_key('cls', hrnet, spec) == {}
    assert [s.key for s in slots('cls', hrnet)] == ['model.neck[0].in_channels']


# The libraries' own configs are right: none of them may be called wrong.

FAMILIES = {
    'mmdet': ('det', 1),
    'mmseg': ('seg', 1),
    'mmyolo': ('yolo', 100),
}


def some_a_folder(library, count):
    seen = {}
    for path in upstream(f'{library}::**/*.py'):
        folder = Path(path).parent.name
        if folder != 'common' and '_base_' not in path:
            seen.setdefault(folder, []).append(path)
    return [path for paths in seen.values() for path in paths[:count]]


@pytest.mark.wide
@pytest.mark.slow
@pytest.mark.parametrize('library', FAMILIES)
def test_no_config_of_the_library_is_called_wrong(library):
    task, count = FAMILIES[library]
    specs, compared, wrong = {}, 0, []
    for path in some_a_folder(library, count):
        try:
            cfg = Config.fromfile(path)
            backbone = cfg.model.backbone
        except Exception:  # another project's, or no model: not ours to judge
            continue
        if repr(backbone) not in specs:
            specs[repr(backbone)] = forward_of(cfg, backbone)
        spec = specs[repr(backbone)]
        if spec is not None:
            compared += 1
            found = mismatches(slots(task, cfg.model), spec)
            wrong += [(path, d.slot.key, d.expected) for d in found]
    assert wrong == []
    assert compared > 40


def forward_of(cfg, backbone):
    init_default_scope(cfg.default_scope)
    backbone = backbone.copy()
    for key in ('init_cfg', 'pretrained'):
        backbone.pop(key, None)
    try:
        return measure(MODELS.build(backbone), 256)
    except Exception:  # takes one size of image, or is no pyramid
        return None
