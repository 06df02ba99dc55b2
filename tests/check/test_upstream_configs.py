"""The libraries' own configs, as they ship them, are right: no error in any."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from plugin.check import RULES, check
from plugin.config.problem import ERROR

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

import shipped_configs  # noqa: E402

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


def errors(config):
    return [problem for problem in check(config) if problem.severity == ERROR]


@pytest.mark.parametrize('config', ONE_OF_EACH)
def test_no_error_in_one_of_each_family(config):
    assert errors(config) == []


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


FOLDERS = sorted({config.partition('/')[0] for config in shipped_configs.names()})
FAULTS = shipped_configs.faults()


@pytest.mark.wide
@pytest.mark.slow
@pytest.mark.parametrize('folder', FOLDERS)
def test_what_is_wrong_in_a_folder_is_a_missing_package_or_a_listed_fault(folder):
    configs = [c for c in shipped_configs.names() if c.partition('/')[0] == folder]
    found = {config: shipped_configs.errors(config) for config in configs}
    unknown = {c: shipped_configs.unknown(c, e, FAULTS) for c, e in found.items()}
    assert {config: left for config, left in unknown.items() if left} == {}
    rules = [(config, error['rule']) for config, e in found.items() for error in e]
    gone = [
        fault
        for fault in FAULTS
        if fault.config.startswith(f'{folder}/')
        and fault.rule != 'training-step'
        and not any(fault.is_of(*one) for one in rules)
    ]
    assert gone == [], 'listed, and not found'


def test_each_listed_fault_is_of_a_config_and_a_rule_that_are_there():
    names, rules = shipped_configs.names(), {'not-a-config', *(r.name for r in RULES)}
    assert len(FAULTS) >= 4
    for fault in FAULTS:
        assert fault.rule in rules, fault
        if find_spec(fault.config.partition('::')[0]) is None:
            continue  # mmyolo has no successor of its own.
        assert any(fault.is_of(name, fault.rule) for name in names), fault


def test_the_kept_results_hold_no_false_alarm():
    lines = shipped_configs.RESULTS.read_text('utf-8').splitlines()
    kept = {one['config']: one['errors'] for one in map(json.loads, lines)}
    unknown = {c: shipped_configs.unknown(c, e, FAULTS) for c, e in kept.items()}
    assert {config: left for config, left in unknown.items() if left} == {}
