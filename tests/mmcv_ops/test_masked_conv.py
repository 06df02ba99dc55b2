"""MaskedConv2d of mmcv.ops: a convolution at the positions of a mask."""

import pytest
import torch
from mmcv.ops import MaskedConv2d
from torch.nn.functional import conv2d

# mmcv 2.0.1 calls torch.addmm in a form that torch deprecates.
pytestmark = pytest.mark.filterwarnings('ignore:This overload of addmm')


@pytest.mark.parametrize(
    ('kernel', 'padding'), [(3, 1), (1, 0), ((3, 5), (1, 2))], ids=str
)
def test_masked_conv_is_a_convolution_where_the_mask_is_set(kernel, padding, device):
    layer = MaskedConv2d(3, 4, kernel, padding=padding).to(device)
    x = torch.randn(1, 3, 7, 9, device=device)
    mask = (torch.rand(1, 7, 9, device=device) > 0.5).float()
    plain = conv2d(x, layer.weight, layer.bias, padding=padding)
    torch.testing.assert_close(layer(x, mask), plain * mask)


def test_an_empty_mask_gives_zeros():
    layer = MaskedConv2d(3, 4, 3, padding=1)
    output = layer(torch.ones(1, 3, 5, 5), torch.zeros(1, 5, 5))
    assert output.shape == (1, 4, 5, 5) and not output.any()


@pytest.mark.parametrize(
    ('kernel', 'output'), [((3, 1), '3x5'), ((1, 3), '5x3')], ids=['rows', 'columns']
)
def test_a_mask_beyond_the_output_is_refused(kernel, output):
    layer = MaskedConv2d(1, 1, kernel)
    message = f'row 4 and column 4 but the output is {output}'
    with pytest.raises(ValueError, match=message):
        layer(torch.ones(1, 1, 5, 5), torch.ones(1, 5, 5))


def test_masked_conv_takes_half_precision():
    layer = MaskedConv2d(3, 4, 3, padding=1).half()
    x, mask = torch.randn(1, 3, 6, 6).half(), torch.ones(1, 6, 6).half()
    plain = conv2d(x.float(), layer.weight.float(), layer.bias.float(), padding=1)
    torch.testing.assert_close(layer(x, mask), plain.half())
