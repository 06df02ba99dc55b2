"""Tensors that no model can use are not loaded, not counted, and named."""

import logging

import pytest
import torch
from click.testing import CliRunner
from mmengine.model import BaseModule
from torch import nn

import plugin.registry  # noqa: F401
from plugin.cli import main
from plugin.weights.audit.report import PretrainedError
from plugin.weights.matching.usable import unusable


class Net(BaseModule):
    """100 + 20 parameters."""

    def __init__(self, init_cfg=None):
        super().__init__(init_cfg)
        self.large = nn.Linear(10, 10, bias=False)
        self.small = nn.Linear(10, 2, bias=False)


def some_nan(tensor):
    tensor[0, 0] = torch.nan
    return tensor


def quantized(tensor):
    return torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)


BAD = {
    'nan': (lambda t: torch.full_like(t, torch.nan), 'is NaN'),
    'some nan': (some_nan, 'holds NaN'),
    'infinity': (lambda t: torch.full_like(t, torch.inf), 'holds infinity'),
    'int8': (lambda t: (t * 9).to(torch.int8), 'is int8, not float32'),
    'bool': (lambda t: t > 0, 'is bool, not float32'),
    'sparse': (lambda t: t.to_sparse(), 'is sparse_coo'),
    'csr': (lambda t: t.to_sparse_csr(), 'is sparse_csr'),
    'quantized': (quantized, 'is quantized (qint8)'),
    'meta': (lambda t: t.to('meta'), 'is on the meta device, without values'),
}


def file(path, **bad):
    torch.manual_seed(0)
    weights = {n: torch.randn(t.shape) for n, t in Net().state_dict().items()}
    for name, kind in bad.items():
        weights[f'{name}.weight'] = BAD[kind][0](weights[f'{name}.weight'])
    torch.save({'state_dict': weights}, path)
    return dict(type='Pretrained', checkpoint=str(path))


@pytest.mark.parametrize('kind', BAD)
def test_a_file_of_unusable_weights_is_an_error_with_the_reason(tmp_path, kind):
    net = Net(file(tmp_path / 'a.pth', large=kind))
    before = net.large.weight.detach().clone()
    with pytest.raises(PretrainedError) as caught:
        net.init_weights()
    message = str(caught.value)
    assert 'only 16.7 % of the parameters' in message
    assert f'1 unusable (large.weight {BAD[kind][1]})' in message
    assert f'No model can use what it holds: large.weight {BAD[kind][1]}' in message
    assert torch.equal(net.large.weight, before)


@pytest.mark.parametrize('kind', BAD)
def test_one_unusable_tensor_is_a_warning_that_names_it(tmp_path, kind, lines):
    net = Net(file(tmp_path / 'a.pth', small=kind))
    before = net.small.weight.detach().clone()
    net.init_weights()
    (line,) = lines
    assert '83.3 % of 120 parameters' in line.getMessage()
    assert f'1 unusable (small.weight {BAD[kind][1]})' in line.getMessage()
    assert '0 missing, 0 unexpected, 0 mismatched' in line.getMessage()
    assert line.levelno == logging.WARNING
    assert torch.equal(net.small.weight, before)


@pytest.mark.parametrize('kind', ['nan', 'int8', 'bool', 'infinity'])
def test_a_users_own_code_may_load_them_and_the_line_says_so(tmp_path, kind, lines):
    class Own(Net):
        def init_weights(self):
            path = self.init_cfg['checkpoint']
            self.load_state_dict(torch.load(path)['state_dict'])

    net = Own(file(tmp_path / 'a.pth', small=kind))
    net.init_weights()
    assert '83.3 % of 120 parameters' in lines[0].getMessage()
    assert f'1 unusable (small.weight {BAD[kind][1]})' in lines[0].getMessage()
    loaded = torch.load(tmp_path / 'a.pth')['state_dict']['small.weight'].float()
    torch.testing.assert_close(net.small.weight, loaded, equal_nan=True)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_weights(dtype):
    assert unusable(torch.ones(3, dtype=dtype), torch.ones(3)) is None


def test_counts_and_masks_are_what_they_are():
    count = torch.tensor(3)
    assert unusable(count, torch.tensor(0)) is None
    mask = torch.full((2, 2), -torch.inf)
    assert unusable(mask, torch.zeros(2, 2), learnt=False) is None
    assert unusable(mask, torch.zeros(2, 2)) == 'holds infinity'


def test_eight_bit_floats_are_looked_into():
    like = torch.ones(2)
    weight = torch.tensor([1.0, torch.nan]).to(torch.float8_e4m3fn)
    assert unusable(weight, like) == 'holds NaN'
    assert unusable(torch.ones(2).to(torch.float8_e4m3fn), like) is None


# The commands


@pytest.fixture
def convnext(tmp_path, build):
    """``convnext(kind)``: a file of an atto ConvNeXt with one tensor spoiled."""

    def make(kind):
        weights = build('plugin.ConvNeXt', arch='atto').state_dict()
        name = 'stages.2.3.pointwise_conv1.weight'
        weights[name] = BAD[kind][0](weights[name].clone())
        torch.save(weights, tmp_path / 'a.pth')
        return tmp_path / 'a.pth', f'{name} {BAD[kind][1]}'

    return make


@pytest.mark.parametrize('kind', BAD)
def test_convert_leaves_them_out_and_says_so(tmp_path, convnext, kind):
    path, reason = convnext(kind)
    out = tmp_path / 'out.pth'
    done = CliRunner().invoke(
        main, ['convert', str(path), str(out), '--to', 'plugin.ConvNeXt']
    )
    assert done.exit_code == 0, done.output
    assert (
        f'1 tensors of {path} are no weights and were left out: {reason}' in done.stdout
    )
    written = torch.load(out)
    assert 'stages.2.3.pointwise_conv1.weight' not in written['state_dict']
    loaded, _, total, _ = written['meta']['loaded'].split()
    assert int(loaded) == int(total) - 160 * 640


def test_convert_of_nothing_else_is_refused(tmp_path, build):
    weights = build('plugin.ConvNeXt', arch='atto').state_dict()
    for kind in 'int8', 'meta', 'nan':
        bad = {n: BAD[kind][0](t.clone()) for n, t in weights.items()}
        torch.save(bad, tmp_path / 'a.pth')
        done = CliRunner().invoke(
            main,
            ['convert', str(tmp_path / 'a.pth'), str(tmp_path / 'b.pth')]
            + ['--to', 'plugin.ConvNeXt'],
        )
        assert done.exit_code == 1
        assert BAD[kind][1] in done.stderr
        assert not (tmp_path / 'b.pth').exists()


def test_align_refuses_to_compare_with_them(tmp_path, convnext):
    path, reason = convnext('int8')
    config = tmp_path / 'config.py'
    backbone = dict(type='plugin.ConvNeXt', arch='atto')
    config.write_text(f'model = dict(backbone={backbone!r})')
    done = CliRunner().invoke(
        main,
        ['align', str(config), '--reference', 'timm:convnext_atto']
        + ['--checkpoint', str(path)],
    )
    assert done.exit_code == 1
    assert reason in done.stderr
