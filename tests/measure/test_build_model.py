import torch
from mmengine.config import Config
from mmengine.registry import MODELS
from torch import nn

from plugin.measure.build import build_model


@MODELS.register_module()
class WritesIntoItsConfig(nn.Module):
    """As mmdet's DINO, which writes into the config of its head, and refuses a second
    time what it wrote; and it asks for a value, which the meta device doesn't have."""

    def __init__(self, head):
        super().__init__()
        assert 'num_pred_layer' not in head
        head['num_pred_layer'] = 7
        self.weight = nn.Parameter(torch.ones(int(torch.ones(3).sum())))


def test_a_model_that_writes_into_its_config_is_built_a_second_time_on_the_cpu():
    cfg = Config(dict(model=dict(type='WritesIntoItsConfig', head=dict(classes=3))))
    model = build_model(cfg)
    assert model.weight.shape == (3,)
    assert not model.weight.is_meta
    assert cfg.model.head == dict(classes=3)
