"""Building without memory: what keeps its values, and what needs none."""

import pytest
import torch
from mmengine.config import Config
from torch import nn

from plugin.measure.build import asks_for_values, build_model, build_on_meta
from plugin.registry import MODELS


class Computing(nn.Module):
    def __init__(self):
        super().__init__()
        self.rate = torch.linspace(0, 0.5, 3)[-1].item()
        self.weight = nn.Parameter(torch.zeros(2, 2))
        side = torch.arange(300)
        self.small = torch.arange(4)
        self.table = side[:, None] - side[None]


def test_small_tensors_have_values_while_it_is_built():
    module = build_on_meta(Computing)
    assert module.rate == 0.5
    assert module.small.tolist() == [0, 1, 2, 3]


def test_parameters_and_large_tables_have_none():
    module = build_on_meta(Computing)
    assert module.weight.is_meta and module.table.is_meta
    assert module.table.shape == (300, 300)


@pytest.fixture
def refusing():
    built = []

    class Refusing(nn.Module):
        def __init__(self, message):
            super().__init__()
            built.append(torch.zeros(1).device.type)
            if message == 'value':
                torch.zeros(1).item()
            elif message:
                raise RuntimeError(message)

    MODELS.register_module(name='Refusing', module=Refusing, force=True)
    yield built
    MODELS._module_dict.pop('Refusing')


def build(message):
    return build_model(
        Config(dict(model=dict(type='plugin.Refusing', message=message)))
    )


def test_what_asks_for_a_value_is_built_on_the_cpu(refusing):
    build('value')
    assert refusing == ['meta', 'cpu']


def test_what_fails_for_another_reason_is_not_built_a_second_time(refusing):
    with pytest.raises(RuntimeError, match='lap is not installed'):
        build('lap is not installed')
    assert refusing == ['meta']


def test_a_question_for_values_is_told_by_its_message():
    assert asks_for_values(RuntimeError('Tensor.item() on meta tensors'))
    assert not asks_for_values(RuntimeError('lap is not installed'))


@pytest.mark.parametrize(
    ('draw', 'reason'),
    [
        (lambda x, sign: x.normal_(0, sign * 0.02), 'std'),
        (lambda x, sign: x.normal_(std=sign * 0.02), 'std'),
        (lambda x, sign: nn.init.normal_(x, std=sign), 'std'),
        (lambda x, sign: x.clamp_(*([0] if sign > 0 else [])), 'min'),
    ],
)
def test_what_cannot_be_drawn_is_refused_as_on_the_cpu(draw, reason):
    def layer(sign):
        module = nn.Linear(4, 4)
        draw(module.weight.data, sign)
        return module

    assert build_on_meta(lambda: layer(1)).weight.is_meta
    with pytest.raises((RuntimeError, ValueError), match=reason):
        build_on_meta(lambda: layer(-1))
