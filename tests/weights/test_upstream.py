"""The private names of other packages do what the plugin relies on."""

from collections import OrderedDict

import timm
import timm.models._builder as builder
import torch
from mmengine.model import BaseModule
from mmengine.model.weight_init import PretrainedInit
from torch import nn

from plugin.weights import upstream


def test_a_tensor_counts_what_is_written_into_it():
    layer = nn.Linear(2, 2)
    before = upstream.version(layer.weight)
    layer(torch.ones(1, 2))
    assert upstream.version(layer.weight) == before
    layer.load_state_dict(layer.state_dict())
    after = upstream.version(layer.weight)
    assert after > before
    nn.init.ones_(layer.weight)
    assert upstream.version(layer.weight) > after


def test_modules_get_the_versions_that_a_state_dict_carries():
    """A batch norm of before torch 0.4.1 had no count: version 1 adds one."""
    norm = nn.BatchNorm2d(2)
    old = OrderedDict(norm.state_dict())
    del old['num_batches_tracked']
    upstream.attach_metadata(old, {'': {'version': 1}})
    assert norm.load_state_dict(old, strict=False).missing_keys == []
    upstream.attach_metadata(old, {'': {'version': 2}})
    missing = norm.load_state_dict(old, strict=False).missing_keys
    assert missing == ['num_batches_tracked']


def test_mmengines_log_of_parameters_names_the_checkpoint(tmp_path):
    class Net(BaseModule):
        def __init__(self):
            super().__init__(dict(type='Pretrained', checkpoint=str(path)))
            self.fc = nn.Linear(2, 2)

        def _dump_init_info(self):
            notes.update(self._params_init_info[self.fc.weight])

    path = tmp_path / 'a.pth'
    torch.save({'fc.weight': torch.randn(2, 2)}, path)
    notes = {}
    Net().init_weights()
    assert notes['init_info'] == f'PretrainedInit: load from {path}'


def test_outside_of_an_initialization_there_is_nothing_to_note():
    upstream.note_initialized(nn.Linear(1, 1), PretrainedInit('a.pth'))


def test_all_of_timms_pretrained_weights_pass_through_one_function(monkeypatch):
    assert builder.__name__ == upstream.TIMM_BUILDER
    asked = []
    monkeypatch.setattr(
        builder, 'load_pretrained', lambda model, **kwargs: asked.append(model)
    )
    for name in 'resnet10t', 'vit_tiny_patch16_224', 'swin_tiny_patch4_window7_224':
        model = timm.create_model(name, pretrained=True)
        assert asked.pop() is model
