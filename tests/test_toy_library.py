"""A library of one's own is one record and one folder; then the commands know it.

In a copy of ``plugin/``, so that nothing of the toy stays behind.
"""

import json

import pytest
from plugin_copy import copy_plugin, insert, run_commands, write_all

# Importing torch and the libraries takes most of it.
pytestmark = pytest.mark.slow

RECORD = "    Library('toy', 'toy', ('toy',), 'toy'),\n"

FOLDER = {
    '__init__.py': """
\"\"\"What is particular to toy. Imports publish and the rooms below.\"\"\"

from plugin.publish import publish

publish('toy')
""",
    'wiring.py': """
\"\"\"What is particular to toy: where its configs repeat channels and strides.\"\"\"

from plugin.libraries import Wiring
from plugin.spec import CHANNELS, STRIDES, Slot


class Toy(Wiring):
    def slots(self, model):
        channels = model['neck']['in_channels']
        strides = model['bbox_head']['strides']
        key = 'model.bbox_head.strides'
        return [
            Slot('model.neck.in_channels', CHANNELS, channels, tuple(channels)),
            Slot(key, STRIDES, strides, tuple(strides)),
        ]


WIRING = Toy()
""",
}

LIBRARY = {
    '__init__.py': '',
    'registry.py': """
from mmengine import registry as root
from mmengine.registry import Registry


def child(name, kind):
    parent = getattr(root, kind)
    return Registry(name, parent=parent, scope='toy', locations=['toy.models'])


MODELS = child('model', 'MODELS')
HOOKS = child('hook', 'HOOKS')
OPTIM_WRAPPER_CONSTRUCTORS = child('constructor', 'OPTIM_WRAPPER_CONSTRUCTORS')
""",
    'models.py': """
from mmengine.model import BaseModel
from toy.registry import MODELS
from torch import nn


@MODELS.register_module()
class ToyNet(nn.Module):
    def __init__(self, width=8, out_indices=(1, 2)):
        super().__init__()
        self.out_indices = out_indices
        widths = [3, width, 2 * width, 4 * width]
        self.stages = nn.ModuleList(
            nn.Conv2d(a, b, 3, s, 1) for a, b, s in zip(widths, widths[1:], (4, 2, 2))
        )

    def forward(self, x):
        maps = []
        for stage in self.stages:
            x = stage(x).relu()
            maps.append(x)
        return tuple(maps[i] for i in self.out_indices)


@MODELS.register_module()
class ToyNeck(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(c, out_channels, 1) for c in in_channels)

    def forward(self, maps):
        return tuple(conv(x) for conv, x in zip(self.convs, maps, strict=True))


@MODELS.register_module()
class ToyHead(nn.Module):
    def __init__(self, in_channels, strides):
        super().__init__()
        self.strides = strides
        self.conv = nn.Conv2d(in_channels, 4, 1)

    def forward(self, maps):
        return tuple(self.conv(x) * s for x, s in zip(maps, self.strides, strict=True))


@MODELS.register_module()
class ToyDetector(BaseModel):
    def __init__(self, backbone, neck, bbox_head, data_preprocessor=None):
        super().__init__(data_preprocessor)
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck)
        self.bbox_head = MODELS.build(bbox_head)

    def extract_feat(self, inputs):
        return self.neck(self.backbone(inputs))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        maps = self.bbox_head(self.extract_feat(inputs))
        return {'loss': sum(x.mean() for x in maps)} if mode == 'loss' else maps
""",
}

CONFIG = """
default_scope = 'toy'
model = dict(
    type='ToyDetector',
    backbone=dict(type='ToyNet'),
    neck=dict(type='ToyNeck', in_channels=[16, 32], out_channels=8),
    bbox_head=dict(type='ToyHead', in_channels=8, strides=[8, 16]))
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01))
"""

COMMANDS = {
    'probe': ['probe', 'toy.ToyNet', '--json'],
    'check': ['check', 'right.py', '--json'],
    'wrong': ['check', 'wrong.py', '--json'],
    'swap': ['swap', 'right.py', 'plugin.ConvNeXt', '-o', 'swapped.py']
    + ['--cfg-options', 'arch=atto'],
}


@pytest.fixture(scope='module')
def copy(tmp_path_factory):
    """A folder with ``plugin/`` and the toy library added to it."""
    folder = copy_plugin(tmp_path_factory.mktemp('toy'))
    insert(folder / 'plugin/libraries.py', '\nALL = (\n', RECORD)
    write_all(folder / 'plugin/toy', FOLDER)
    write_all(folder / 'toy', LIBRARY)
    wrong = CONFIG.replace('[16, 32]', '[16, 64]')
    write_all(folder, {'right.py': CONFIG, 'wrong.py': wrong})
    return folder


@pytest.fixture(scope='module')
def answers(copy, warm_python):
    return run_commands(warm_python, copy, COMMANDS)


def test_probe_measures_its_backbone(answers):
    done = answers['probe']
    assert done['code'] == 0, done['err']
    found = json.loads(done['out'])
    assert (found['channels'], found['strides']) == ([16, 32], [8, 16])


def test_check_finds_nothing_in_its_config(answers):
    done = answers['check']
    assert done['code'] == 0, done['err'] + done['out']
    assert json.loads(done['out'])[0]['problems'] == []


def test_check_finds_channels_that_do_not_fit(answers):
    done = answers['wrong']
    assert done['code'] == 1, done['err']
    (problem,) = json.loads(done['out'])[0]['problems']
    assert (problem['key'], problem['kind']) == ('model.neck.in_channels', 'channels')
    assert problem['expected'] == [16, 32]


def test_swap_writes_a_config_with_another_backbone(answers, copy):
    done = answers['swap']
    assert done['code'] == 0, done['err']
    assert 'mim train toy swapped.py' in done['out']
    text = (copy / 'swapped.py').read_text()
    assert "custom_imports = dict(imports=['plugin.toy']" in text
    assert 'neck=dict(in_channels=[80, 160])' in text
    assert 'strides' not in text.partition('model = ')[2]
