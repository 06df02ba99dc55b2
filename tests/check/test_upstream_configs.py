"""The libraries' own configs, as they ship them, are right: no error in any."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from plugin.check import check
from plugin.config.problem import ERROR

FAMILIES = {
    'mmdet': ('retinanet', 'yolox', 'faster_rcnn', 'mask_rcnn', 'rtmdet'),
    'mmseg': ('upernet', 'pspnet'),
    'mmyolo': ('yolov5', 'yolov6', 'yolov8', 'yolox', 'rtmdet'),
}
ONE_OF_EACH = (
    'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
    'mmdet::yolox/yolox_s_8xb8-300e_coco.py',
    'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'mmdet::mask_rcnn/mask-rcnn_r101_fpn_1x_coco.py',
    'mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py',
    'mmseg::pspnet/pspnet_r50-d8_4xb4-80k_ade20k-512x512.py',
    'mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py',
    'mmyolo::yolov6/yolov6_s_syncbn_fast_8xb32-400e_coco.py',
    'mmyolo::yolov8/yolov8_s_syncbn_fast_8xb16-500e_coco.py',
    'mmyolo::rtmdet/rtmdet_s_syncbn_fast_8xb32-300e_coco.py',
)


# These need mmrotate, mmrazor, mmpose, or mmcls of 1.x, and check says so.
OTHER_LIBRARIES = {
    'rotated',
    'distillation',
    'pose',
    'cspnext_imagenet_pretrain',
}


def errors(config):
    return [problem for problem in check(config) if problem.severity == ERROR]


@pytest.mark.parametrize('config', ONE_OF_EACH)
def test_no_error_in_one_of_each_family(config):
    assert errors(config) == []


def of_family(library, family):
    root = Path(find_spec(library).origin).parent / '.mim/configs'
    for path in sorted((root / family).rglob('*.py')):
        if path.parent.name in OTHER_LIBRARIES:
            continue
        yield f'{library}::{path.relative_to(root).as_posix()}'


@pytest.mark.parametrize(
    ('config', 'library'),
    [
        ('mmyolo::rtmdet/rotated/rtmdet-r_s_fast_1xb8-36e_dota.py', 'mmrotate'),
        ('mmyolo::rtmdet/distillation/kd_s_rtmdet_m_neck_300e_coco.py', 'mmrazor'),
    ],
)
def test_a_library_that_is_missing_is_named(config, library):
    if find_spec(library):
        pytest.skip(f'{library} is installed')
    assert f'{library} is installed' in [problem.expected for problem in errors(config)]


@pytest.mark.wide
@pytest.mark.slow
@pytest.mark.parametrize(
    ('library', 'family'),
    [(library, family) for library, names in FAMILIES.items() for family in names],
)
def test_no_error_in_any_of_the_family(library, family):
    configs = list(of_family(library, family))
    wrong = {config: found for config in configs if (found := errors(config))}
    assert wrong == {}
    assert len(configs) >= 5
