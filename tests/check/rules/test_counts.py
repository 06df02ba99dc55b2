"""Numbers of maps that contradict each other within the config."""

import pytest
from one_problem import RETINANET, UPERNET, Reported, fix_it, write

from plugin.config.problem import ERROR

pytestmark = pytest.mark.slow

FASTER = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'


def levels(key, found, expected, fix):
    return Reported(key, 'levels', ERROR, found, expected, fix)


def test_a_start_past_the_last_map_gets_that_of_the_anchors(tmp_path):
    key = 'model.neck.start_level'
    fix_it(
        write(tmp_path, RETINANET, 'model = dict(neck=dict(start_level=4))'),
        levels(key, 4, '0 to 3, for 4 in_channels', f'{key}=1'),
    )


def test_fewer_outputs_than_maps_become_as_many_as_there_are_strides(tmp_path):
    key = 'model.neck.num_outs'
    fix_it(
        write(tmp_path, FASTER, 'model = dict(neck=dict(num_outs=3))'),
        levels(key, 3, 'at least 4, for the maps from 0 on', f'{key}=5'),
    )


def test_an_index_for_each_number_of_channels(tmp_path):
    key = 'model.decode_head.in_index'
    fix_it(
        write(tmp_path, UPERNET, 'model = dict(decode_head=dict(in_index=[0, 1, 2]))'),
        levels(
            key, [0, 1, 2], '4 maps, one for each of in_channels', f'{key}=[0, 1, 2, 3]'
        ),
    )


def test_one_number_of_channels_is_about_one_map(tmp_path):
    key = 'model.auxiliary_head.in_index'
    text = 'model = dict(auxiliary_head=dict(in_index=[1, 2]))'
    fix_it(
        write(tmp_path, UPERNET, text),
        levels(key, [1, 2], 'one map, for one number of in_channels', f'{key}=2'),
    )


def test_a_neck_left_over_from_another_backbone_gets_its_channels(tmp_path):
    """Three maps for a neck that was written for four: not more outputs."""
    key = 'model.neck.in_channels'
    text = (
        'model = dict(backbone=dict(out_indices=(1, 2, 3)), '
        'neck=dict(start_level=0, num_outs=3), '
        'bbox_head=dict(anchor_generator=dict(strides=[8, 16, 32])))'
    )
    right = [512, 1024, 2048]
    fix_it(
        write(tmp_path, RETINANET, text),
        levels(key, [256, *right], right, f'{key}={right}'),
    )
