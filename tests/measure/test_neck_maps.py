"""Maps of a neck that a step leaves without a gradient."""

import pytest
import torch
from torch import nn

from plugin.measure.step.neck_maps import unused_maps


class Neck(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, image):
        map_ = self.conv(image)
        return map_, nn.functional.max_pool2d(map_, 2)


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.neck = Neck()

    def forward(self, image, weights):
        maps = self.neck(image)
        return sum(w * m.sum() for w, m in zip(weights, maps, strict=False))


# A weight of zero is of a map that was read and had nothing in this batch.
@pytest.mark.parametrize(
    ('weights', 'expected'),
    [((1, 1), set()), ((1, 0), set()), ((1,), {('neck', 1)})],
)
def test_a_map_that_nothing_reads_is_unused(weights, expected):
    model = Detector()
    with unused_maps(model) as unused:
        model(torch.zeros(1, 3, 4, 4), weights).backward()
    assert unused == expected
    assert not model.neck._forward_hooks


def test_a_forward_without_gradients_does_not_count():
    """A teacher's."""
    model = Detector()
    with unused_maps(model) as unused, torch.no_grad():
        model(torch.zeros(1, 3, 4, 4), (1,))
    assert unused == set()
