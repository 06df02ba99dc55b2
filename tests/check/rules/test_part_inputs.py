"""A neck of the user's own, whose channels only a forward shows."""

import pytest
from one_problem import RETINANET, Told, mend, write

from plugin.check import check
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
        return tuple(c(x) for c, x in zip(self.convs, maps))
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
    mend(
        own_neck('widths=[256, 512, 384, 2048]'),
        Told(
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
    mend(path, problem)
