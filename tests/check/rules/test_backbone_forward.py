"""A backbone that fails on the images of its config."""

import sys

import pytest
from one_problem import RETINANET, write

from plugin.check import examine
from plugin.check.checked_config import CheckedConfig
from plugin.config.names import load_config
from plugin.registry import MODELS

pytestmark = pytest.mark.slow


@pytest.fixture
def own(tmp_path, monkeypatch):
    """``own(forward)`` is a config whose backbone has this forward."""
    monkeypatch.syspath_prepend(tmp_path)

    def config(forward, arguments=''):
        (tmp_path / 'own_forward.py').write_text(
            'import torch\n'
            'from torch import nn\n'
            'from plugin.registry import MODELS\n'
            '@MODELS.register_module(force=True)\n'
            'class OwnForward(nn.Module):\n'
            '    def __init__(self, size=None):\n'
            '        super().__init__()\n'
            '        self.size = size\n'
            '        self.conv = nn.Conv2d(3, 8, 3, 4, 1)\n'
            f'{forward}\n'
        )
        return str(
            write(
                tmp_path,
                RETINANET,
                "custom_imports = dict(imports=['own_forward'], "
                'allow_failed_imports=False)\n'
                "model = dict(backbone=dict(_delete_=True, type='plugin.OwnForward'"
                f'{arguments}), neck=dict(in_channels=[8], start_level=0, '
                "add_extra_convs='on_input'), bbox_head=dict(anchor_generator="
                'dict(strides=[4, 8, 16, 32, 64])))',
            )
        )

    yield config
    # Whoever lists the backbones of this process would run a forward without an end.
    MODELS.module_dict.pop('OwnForward', None)
    sys.modules.pop('own_forward', None)


def test_values_that_are_there_are_no_problem(own):
    path = own(
        '    def forward(self, x):\n'
        '        if x.max() > 1e9:\n'
        '            raise ValueError("too bright")\n'
        '        return (self.conv(x),)\n'
    )
    report = examine(path)
    assert (report.problems, report.not_judged) == ([], [])


def test_what_a_forward_raises_is_quoted(own):
    path = own(
        '    def forward(self, x):\n'
        '        if x.max() < 1e9:\n'
        '            raise ValueError("too dark")\n'
        '        return (self.conv(x),)\n'
    )
    (problem,) = examine(path).problems
    assert (problem.key, problem.kind) == ('model.backbone', 'forward')
    assert problem.found == 'forward raises ValueError: too dark'
    assert problem.unknown == 'model.backbone'


def test_the_argument_without_which_it_runs_is_named(own):
    path = own(
        '    def forward(self, x):\n'
        '        assert self.size in (None, x.shape[-1]), x.shape\n'
        '        return (self.conv(x),)\n',
        ', size=57',
    )
    (problem,) = examine(path).problems
    assert problem.in_short == 'del model.backbone.size'


def test_a_forward_that_takes_more_than_an_image_is_not_judged(own):
    path = own('    def forward(self, x, depth):\n        return (self.conv(x),)\n')
    report = examine(path)
    assert report.problems == []
    assert 'model.backbone: its forward takes more than an image' in report.not_judged


def test_a_forward_without_an_end_is_not_judged(own, monkeypatch):
    monkeypatch.setattr('plugin.measure.backbone_forward._SECONDS', 0.5)
    path = own(
        '    def forward(self, x):\n'
        '        while x.max() < 1e9:\n'
        '            pass\n'
        '        return (self.conv(x),)\n'
    )
    assert (
        'model.backbone: its forward takes more than 0.5 s' in examine(path).not_judged
    )


@pytest.mark.parametrize(
    ('mean', 'scope', 'channels', 'known'),
    [
        ([0.0] * 4, 'mmdet', 4, True),
        ([0.0] * 3, 'mmdet', 3, True),
        ([33.0], 'mmdet', 3, False),
        ([33.0], 'mmpretrain', 1, False),
        (None, 'mmdet', 3, False),
    ],
)
def test_images_have_as_many_channels_as_the_mean(mean, scope, channels, known):
    cfg = load_config(RETINANET)
    cfg.default_scope = scope
    cfg.model.data_preprocessor.mean = mean
    checked = CheckedConfig(cfg)
    assert (checked.image_channels, checked.knows_images) == (channels, known)


def test_where_the_channels_of_the_images_are_unknown_nothing_is_said(tmp_path):
    text = (
        'model = dict(backbone=dict(in_channels=4, init_cfg=None, frozen_stages=-1), '
        'data_preprocessor=dict(mean=None, std=None))'
    )
    report = examine(str(write(tmp_path, RETINANET, text)))
    assert report.problems == []
    assert 'model.backbone: the channels of the images are not written' in (
        report.not_judged
    )
