"""Parts are given other inputs than they take, which only a forward shows."""

import pytest
from one_problem import RETINANET, Reported, fix_it, write

from plugin.check import check, examine
from plugin.config.problem import ERROR

pytestmark = pytest.mark.slow

OWN_NECK = """
from torch import nn
from plugin.registry import MODELS

@MODELS.register_module(force=True)
class OwnNeck(nn.Module):
    def __init__(self, widths, out=256):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(w, out, 1) for w in widths)

    def forward(self, maps):
        maps = [c(x) for c, x in zip(self.convs, maps)]
        return (*maps, nn.functional.max_pool2d(maps[-1], 1, 2))
"""


@pytest.fixture
def own_neck(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'own_neck.py').write_text(OWN_NECK)

    def write_config(arguments):
        text = (
            "custom_imports = dict(imports=['own_neck'], allow_failed_imports=False)\n"
            "model = dict(neck=dict(_delete_=True, type='plugin.OwnNeck', "
            f'{arguments}))'
        )
        return write(tmp_path, RETINANET, text)

    return write_config


def test_a_neck_that_fits_is_no_problem(own_neck):
    assert check(str(own_neck('widths=[256, 512, 1024, 2048]'))) == []


def test_a_neck_that_does_not_run_without_values_is_not_judged():
    """mmcv's CARAFE has no kernel for the meta device."""
    assert check('mmdet::carafe/faster-rcnn_r50_fpn-carafe_1x_coco.py') == []


def test_a_neck_that_does_not_take_the_maps_is_found(own_neck):
    fix_it(
        own_neck('widths=[256, 512, 384, 2048]'),
        Reported(
            'model.neck.widths',
            'channels',
            ERROR,
            '384 channels for neck.convs.2',
            '1024 channels',
            'model.neck.widths=[256, 512, 1024, 2048]',
        ),
    )


def test_a_head_that_does_not_take_what_the_neck_gives_is_found(own_neck):
    path = own_neck('widths=[256, 512, 1024, 2048], out=64')
    (problem,) = check(str(path))
    assert problem.found == '256 channels for bbox_head.cls_convs.0.conv'
    assert problem.in_short == 'model.bbox_head.in_channels=64'
    fix_it(path, problem)


def of(tmp_path, base, text):
    return check(str(write(tmp_path, base, text)))


SOFT_TEACHER = (
    'mmdet::soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py'
)


def test_a_detector_inside_another_one_is_run(tmp_path):
    (problem,) = of(
        tmp_path,
        SOFT_TEACHER,
        'model = dict(detector=dict(roi_head=dict(bbox_head=dict(in_channels=128))))',
    )
    assert problem.key == 'model.detector.roi_head.bbox_head.in_channels'
    assert problem.in_short == f'{problem.key}=256'


def test_the_stages_of_a_cascade_change_together(tmp_path):
    path = write(
        tmp_path,
        'mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py',
        'model = dict(neck=dict(out_channels=128), rpn_head=dict(in_channels=128), '
        'roi_head=dict(bbox_roi_extractor=dict(out_channels=128)))',
    )
    (problem,) = check(str(path))
    heads = [f'model.roi_head.bbox_head[{i}].in_channels=128' for i in range(3)]
    assert problem.in_short == '; '.join(heads)
    fix_it(path, problem)


def test_a_pixel_decoder_takes_all_maps_of_another_backbone(tmp_path):
    path = write(
        tmp_path,
        'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
        'model = dict(backbone=dict(depth=18, init_cfg=None, frozen_stages=-1))',
    )
    (problem,) = check(str(path))
    assert problem.in_short == 'model.panoptic_head.in_channels=[64, 128, 256, 512]'
    fix_it(path, problem)


def test_a_second_backbone_has_a_neck_of_its_own(tmp_path):
    """LAD's teacher, which is built from other keys than it is named by."""
    (problem,) = of(
        tmp_path,
        'mmdet::lad/lad_r50-paa-r101_fpn_2xb8_coco_1x.py',
        'model = dict(teacher_ckpt=None, teacher_backbone=dict(depth=18))',
    )
    assert problem.key == 'model.teacher_neck.in_channels'
    assert problem.in_short == f'{problem.key}=[64, 128, 256, 512]'


def test_a_head_that_needs_real_regions_is_listed():
    report = examine('mmdet::grid_rcnn/grid-rcnn_r50_fpn_gn-head_1x_coco.py')
    assert report.problems == []
    assert report.not_judged == [
        'model.roi_head.grid_head: it runs on a real image only'
    ]


def test_maps_that_are_too_small_are_tried_at_the_config_s_own_size():
    """The last maps of SSD512 are smaller than a kernel at 256 pixels."""
    report = examine('mmdet::ssd/ssd512_coco.py')
    assert (report.problems, report.not_judged) == ([], [])


def test_a_linear_layer_behind_a_fixed_pooling_gets_images_of_the_config_s_shape():
    """Its pooling is for images of 256 times 128 pixels."""
    config = 'mmdet::reid/reid_r50_8xb32-6e_mot17train80_test-mot17val20.py'
    report = examine(config)
    assert [p for p in report.problems if p.severity == ERROR] == []


def test_attentions_take_as_many_levels_as_there_are_written_or_not(tmp_path):
    base = 'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py'
    text = 'model = dict(num_feature_levels=3, neck=dict(num_outs=3))'
    (problem,) = check(str(write(tmp_path, base, text)))
    assert problem.in_short == '; '.join(
        f'model.{part}.layer_cfg.{attention}_cfg.num_levels=3'
        for part, attention in (('encoder', 'self_attn'), ('decoder', 'cross_attn'))
    )
    fix_it(write(tmp_path, base, text), problem)


def test_regions_of_another_size_are_not_answered_by_other_channels(tmp_path):
    base = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
    text = (
        'model = dict(roi_head=dict(bbox_roi_extractor=dict('
        'roi_layer=dict(output_size=14))))'
    )
    (problem,) = check(str(write(tmp_path, base, text)))
    assert problem.in_short == 'model.roi_head.bbox_head.roi_feat_size=14'
    fix_it(write(tmp_path, base, text), problem)


def test_a_layer_is_of_the_part_around_it_not_of_one_that_names_its_class(tmp_path):
    """`kernel_update_head` has a `conv_cfg` of torch's own Conv2d."""
    base = 'mmseg::knet/knet-s3_r50-d8_deeplabv3_8xb2-adamw-80k_ade20k-512x512.py'
    text = 'model = dict(decode_head=dict(kernel_generate_head=dict(in_channels=1024)))'
    (problem,) = check(str(write(tmp_path, base, text)))
    key = 'model.decode_head.kernel_generate_head.in_channels'
    assert problem.in_short == f'{key}=2048'


def test_of_a_bare_assertion_it_is_said_what_it_asserts(tmp_path):
    base = 'mmdet::libra_rcnn/libra-faster-rcnn_r50_fpn_1x_coco.py'
    text = (
        "model = dict(neck=[dict(type='FPN', in_channels=[256, 512, 1024, 2048], "
        "out_channels=256, num_outs=5), dict(type='BFP', in_channels=256, "
        "num_levels=4, refine_level=2, refine_type='non_local')])"
    )
    (problem,) = check(str(write(tmp_path, base, text)))
    assert problem.key == 'model.neck[1]'
    assert problem.found == 'AssertionError: assert len(inputs) == self.num_levels'


def test_priors_for_another_number_of_maps_are_found(tmp_path):
    base = 'mmdet::reppoints/reppoints-moment_r50_fpn_1x_coco.py'
    text = 'model = dict(neck=dict(num_outs=6))'
    (problem,) = check(str(write(tmp_path, base, text)))
    assert problem.key == 'model.bbox_head'
    assert problem.found == 'ValueError: 6 maps, and priors for 5'
