"""``prefix`` is taken at its word, as by mmengine without the plugin."""

import mmdet.models  # noqa: F401
import pytest
import torch
import torchvision
from mmengine.model import BaseModule
from torch import nn

from plugin.weights.audit.report import PretrainedError
from plugin.weights.files.contents import under
from plugin.weights.matching.fit import best_prefix


class Net(BaseModule):
    def __init__(self, init_cfg=None):
        super().__init__(init_cfg)
        self.conv = nn.Conv2d(1, 2, 3)


def weights(value):
    return {n: torch.full(t.shape, value) for n, t in Net().state_dict().items()}


def save(path, **prefixed):
    """Weights of one value for each prefix, in which _ stands for a dot."""
    contents = {}
    for prefix, value in prefixed.items():
        prefix = prefix.replace('__', '.')
        contents |= {f'{prefix}{n}': t for n, t in weights(value).items()}
    torch.save({'state_dict': contents}, path)
    return str(path)


def load(path, prefix=None):
    net = Net(dict(type='Pretrained', checkpoint=path, prefix=prefix))
    net.init_weights()
    (value,) = set(net.conv.weight.flatten().tolist())
    return value


@pytest.fixture
def moco(tmp_path):
    """A file of MoCo v2: the query encoder, its momentum twin and the queue."""
    torch.manual_seed(0)
    resnet = torchvision.models.resnet50().state_dict()
    names = {n: t.float() for n, t in resnet.items() if not n.startswith('fc.')}
    state = {f'module.encoder_q.{n}': torch.rand_like(t) for n, t in names.items()}
    state |= {
        'module.queue': torch.zeros(4, 4),
        'module.queue_ptr': torch.zeros(1),
        'module.encoder_q.fc.0.weight': torch.zeros(4, 2048),
        'module.encoder_k.conv1.weight': torch.zeros(64, 3, 7, 7),
    }
    path = tmp_path / 'moco_v2.pth.tar'
    torch.save(dict(epoch=200, arch='resnet50', state_dict=state), path)
    return path, state


@pytest.mark.parametrize('prefix', ['module.encoder_q.', 'module.encoder_q'])
def test_a_prefix_with_module_in_it_loads(build, lines, moco, prefix):
    path, state = moco
    backbone = build('mmdet.ResNet', path, prefix, depth=50)
    assert torch.equal(
        backbone.layer4[2].conv3.weight, state['module.encoder_q.layer4.2.conv3.weight']
    )
    assert '100.0 % of 23.5 M' in lines[0].getMessage()


@pytest.mark.parametrize('prefix', [None, 'encoder_q.', 'module.', 'backbone.'])
def test_the_prefix_that_is_named_is_one_that_loads(build, moco, prefix):
    with pytest.raises(PretrainedError) as caught:
        build('mmdet.ResNet', moco[0], prefix, depth=50)
    assert "prefix='module.encoder_q.' would give 100.0 %" in str(caught.value)


def test_without_a_prefix_the_names_of_a_wrapper_are_dropped(tmp_path):
    assert load(save(tmp_path / 'a.pth', module__=1.0)) == 1.0
    assert load(save(tmp_path / 'b.pth', module___orig_mod__=2.0)) == 2.0
    assert best_prefix(torch.load(tmp_path / 'a.pth')['state_dict'], Net())[0] == ''


def test_of_two_names_the_one_without_a_wrapper_is_taken_and_it_is_said(
    tmp_path, warnings
):
    path = save(tmp_path / 'a.pth', **{'': 1.0, 'module__': 2.0})
    assert load(path) == 1.0
    assert load(path, 'module.') == 2.0
    (text,) = warnings
    assert text == (
        f'Net: {path} has 2 names both with and without module. (module.conv.bias, '
        "module.conv.weight); those without were loaded, and prefix='module.' takes "
        'the others'
    )


def test_names_are_looked_up_as_they_stand():
    table = {'module.a.x': 1, 'a.x': 2, 'module.module.b': 3}
    assert under(table, 'module.a') == {'x': 1}
    assert under(table, 'a.') == {'x': 2}
    assert under(table, None) == {'a.x': 2, 'b': 3}
    assert under(table, 'module.') == {'a.x': 1, 'module.b': 3}
