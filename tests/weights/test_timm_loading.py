"""timm's pretrained weights: audited in a model of OpenMMLab's, and only there."""

import mmpretrain.models  # noqa: F401
import mmseg.models  # noqa: F401
import pytest
import timm
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModule
from mmengine.registry import MODELS

import plugin.registry  # noqa: F401
from plugin.weights.audit.report import PretrainedError


@pytest.fixture
def timms(monkeypatch):
    """``timms(keep)``: what timm gets for a resnet10t, of the names that are kept."""
    weights = timm.create_model('resnet10t').state_dict()

    def put(keep=lambda name: True):
        kept = {n: t.clone() for n, t in weights.items() if keep(n)}
        monkeypatch.setattr(
            'timm.models._builder.load_state_dict_from_hf', lambda *_, **__: kept
        )

    return put


def create(**kwargs):
    return timm.create_model(
        'resnet10t', pretrained=True, pretrained_strict=False, **kwargs
    )


@pytest.mark.parametrize('library', ['plugin', 'mmseg', 'mmpretrain'])
def test_every_wrapper_of_a_timm_model_gets_its_line(timms, lines, library):
    timms()
    cfg = dict(type=f'{library}.TIMMBackbone', model_name='resnet10t', pretrained=True)
    MODELS.build(ConfigDict(cfg, features_only=True))
    (line,) = lines
    assert '100.0 % of 4.9 M parameters are from timm resnet10t' in line.getMessage()


def test_a_wrapper_of_a_users_own_gets_it_too(timms, lines):
    class Mine(BaseModule):
        def __init__(self):
            super().__init__()
            self.net = create(features_only=True)

    timms()
    Mine()
    assert '100.0 %' in lines[0].getMessage()


def test_too_little_for_a_wrapper_is_an_error(timms):
    class Mine(BaseModule):
        def __init__(self):
            super().__init__()
            self.net = create()

    timms(lambda name: 'layer4' not in name)
    with pytest.raises(PretrainedError, match='only 2[0-9].. % of the parameters'):
        Mine()


def test_a_timm_model_outside_of_a_model_of_openmmlabs_loads_as_ever(timms, lines):
    timms(lambda name: 'layer4' not in name)  # An error in a wrapper.
    model = create()
    assert lines == []
    timms()
    whole = create()
    assert torch.equal(model.conv1[0].weight, whole.conv1[0].weight)
    assert not torch.equal(model.layer4[0].conv1.weight, whole.layer4[0].conv1.weight)
