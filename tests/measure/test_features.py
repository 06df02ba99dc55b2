import pytest
import torch
from torch import nn

from plugin.measure.features import feature_spec, measure
from plugin.spec import FeatureSpec


class Maps(nn.Module):
    """Returns what it is told to; remembers the mode it ran in."""

    def __init__(self, out):
        super().__init__()
        self.out = out
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        self.ran_in = (self.training, self.norm.training)
        return self.out(x)


def test_channels_and_strides_are_measured():
    model = Maps(lambda x: (x[..., ::4, ::4], x.repeat(1, 2, 1, 1)[..., ::8, ::8]))
    assert feature_spec(model) == FeatureSpec(channels=(3, 6), strides=(4, 8))


def test_a_declared_spec_is_believed():
    model = Maps(None)
    model.feature_spec = lambda: FeatureSpec((7,), (16,))
    assert feature_spec(model) == FeatureSpec((7,), (16,))


def test_measuring_runs_in_eval_mode_and_puts_each_mode_back():
    model = Maps(lambda x: (x,))
    model.norm.eval()
    measure(model)
    assert model.ran_in == (False, False)
    assert model.training and not model.norm.training


@pytest.mark.parametrize(
    'out, message',
    [
        (lambda x: x, r'returned a Tensor; .* write `return \(x,\)`'),
        (lambda x: (x.mean((2, 3)),), r'returned \[\(1, 3\)\]; every map'),
        (lambda x: ([x],), "returned \\['list'\\]; every map"),
    ],
)
def test_an_output_that_is_no_pyramid_is_named(out, message):
    with pytest.raises(ValueError, match=message):
        measure(Maps(out))


def test_measuring_needs_no_gradients():
    model = Maps(lambda x: (nn.functional.conv2d(x, torch.ones(1, 3, 1, 1)),))
    assert measure(model).channels == (1,)
