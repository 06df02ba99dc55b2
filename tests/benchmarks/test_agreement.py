"""``check`` against a real training step, on configs of ``benchmarks/agreement.py``."""

import sys
from pathlib import Path

import pytest

# The cases are configs of all libraries.
pytest.importorskip('mmyolo')
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

import agreement  # noqa: E402
import changed_configs  # noqa: E402

CASES = changed_configs.cases()
# Those that take a second or two: half of them train, the others do not.
FAST = (
    ('mmyolo::yolov7/yolov7_tiny_syncbn_fast_8x16b-300e_coco.py', 'nothing'),
    ('mmyolo::yolov6/yolov6_n_syncbn_fast_8xb32-400e_coco.py', 'nothing'),
    ('mmdet::yolox/yolox_s_8xb8-300e_coco.py', 'backbone and neck'),
    ('mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py', 'nothing'),
    ('mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py', 'class count'),
    ('mmdet::yolof/yolof_r50-c5_8xb8-1x_coco.py', 'channels of a head'),
    ('mmdet::gfl/gfl_r50_fpn_1x_coco.py', 'neck width'),
    ('mmyolo::rtmdet/rtmdet_tiny_syncbn_fast_8xb32-300e_coco.py', 'widen_factor'),
)
WIDE = 60


def known() -> list[dict]:
    """The kept results."""
    return list(agreement.read_results(agreement.RESULTS).values())


def outcomes(case, folder):
    result = agreement.judge(case, folder)
    return [agreement.outcome(result, way) for way in ('static', 'step')]


def is_right(outcome: str) -> bool:
    return outcome in ('rightly wrong', 'rightly clean', agreement.UNKNOWN)


@pytest.mark.parametrize(('base', 'change'), FAST)
def test_says_what_a_training_step_says(base, change, tmp_path):
    (case,) = [c for c in CASES if (c.base, c.change) == (base, change)]
    static, step = outcomes(case, tmp_path)
    assert static == step and is_right(static)


@pytest.mark.wide
@pytest.mark.parametrize('case', CASES[:WIDE], ids=lambda c: f'{c.base}-{c.change}')
def test_is_as_right_as_the_kept_results(case, tmp_path):
    (kept,) = [r for r in known() if (r['base'], r['text']) == (case.base, case.text)]
    found = outcomes(case, tmp_path)
    for way, outcome in zip(('static', 'step'), found, strict=True):
        assert is_right(outcome) or outcome == agreement.outcome(kept, way)


def test_the_page_has_the_figures_of_the_kept_results():
    done = agreement.read_results(agreement.RESULTS)
    figures = agreement.figures(CASES, done)
    assert f'<!-- figures -->\n{figures}<!-- end' in agreement.PAGE.read_text('utf-8')


def test_the_kept_results_reach_what_is_promised():
    kept = [r for r in known() if agreement.outcome(r, 'step') != agreement.UNKNOWN]
    assert len(kept) >= 300
    ways = {w: [agreement.outcome(r, w) for r in kept] for w in ('static', 'step')}
    shares = {w: sum(map(is_right, found)) / len(kept) for w, found in ways.items()}
    assert shares['static'] >= 0.95 and shares['step'] >= 0.99
    assert 'false alarm' not in ways['static']
