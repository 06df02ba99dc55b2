"""Whole training states: loaded where weights are all that is needed of them.

Arguments of a script are data. What is more is refused, and the message names a command
that takes the weights out without running anything.
"""

import re
import shlex
from argparse import Namespace
from collections import defaultdict

import mmdet.models  # noqa: F401
import pytest
import timm
import torch
from click.testing import CliRunner
from entries import ENTRIES
from inputs import INPUTS, RUN_CODE
from mmengine.config import ConfigDict
from mmengine.hooks import Hook
from mmengine.registry import MODELS
from tiny_runner import TinyModel, tiny_runner

import plugin.det  # noqa: F401
from plugin.cli import main
from plugin.weights.files.sources import read_checkpoint


class Settings(dict):
    """A class of a training script, as yacs has one."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.frozen = True


def run(*arguments):
    return CliRunner().invoke(main, [*map(str, arguments)])


def state(weights, **more):
    """Return what a training script saves: DINO's and DeiT's have ``args``."""
    param = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.AdamW([param])
    param.sum().backward()
    optimizer.step()
    return dict(
        model=weights,
        optimizer=optimizer.state_dict(),
        lr_scheduler=torch.optim.lr_scheduler.StepLR(optimizer, 1).state_dict(),
        epoch=3,
        **more,
    )


def resnet():
    torch.manual_seed(0)
    return timm.create_model('resnet10t').state_dict()


ARGS = Namespace(arch='resnet10t', lr=0.1, nested=Namespace(names=['a', 'b']))


def init_cfg(path):
    cfg = dict(type='plugin.TIMMBackbone', model_name='resnet10t')
    backbone = MODELS.build(
        ConfigDict(cfg, init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    )
    backbone.init_weights()
    return backbone.timm_model.state_dict()


def checkpoint_path(path):
    cfg = dict(type='plugin.TIMMBackbone', model_name='resnet10t')
    backbone = MODELS.build(ConfigDict(cfg, checkpoint_path=str(path)))
    return backbone.timm_model.state_dict()


def keys(path):
    shown = run('keys', path)
    assert shown.exit_code == 0 and '86 tensors' in shown.stdout
    assert 'args (Namespace)' in shown.stdout
    return {}


def convert(path):
    out = path.with_name('out.pth')
    done = run('convert', path, out, '--to', 'timm:resnet10t')
    assert done.exit_code == 0, done.output
    return read_checkpoint(out)['state_dict']


@pytest.mark.parametrize('way', [init_cfg, checkpoint_path, keys, convert])
def test_arguments_of_a_script_are_no_obstacle(way, tmp_path):
    weights = resnet()
    torch.save(state(weights, args=ARGS), tmp_path / 'state.pth')
    loaded = way(tmp_path / 'state.pth')
    found = [n for n in loaded if n.removeprefix('timm_model.') in weights]
    assert way is keys or len(found) > 60
    for name in found:
        assert torch.equal(loaded[name], weights[name.removeprefix('timm_model.')])


def test_load_from_takes_a_state_with_arguments(tmp_path):
    weights = TinyModel().state_dict()
    torch.save(dict(state_dict=weights, args=ARGS), tmp_path / 'state.pth')
    runner = tiny_runner(tmp_path / 'run', load_from=str(tmp_path / 'state.pth'))
    seen = []

    class Look(Hook):
        def before_train(self, runner):
            seen.append(runner.model.linear.weight.detach().clone())

    runner.register_hook(Look(), 'LOWEST')
    runner.train()
    assert torch.equal(seen[0], weights['linear.weight'])
    assert vars(read_checkpoint(tmp_path / 'state.pth')['args']) == vars(ARGS)


@pytest.mark.parametrize(
    'way',
    ['init_cfg', 'checkpoint_path', 'load_from', 'keys', 'convert'],
)
def test_other_classes_are_refused_with_the_command_that_helps(
    way, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'a state.pth'
    extra = dict(config=Settings(lr=Settings(base=0.1)), logs=defaultdict(list))
    torch.save(state(resnet(), args=ARGS, **extra), path)
    (tmp_path / 'work').mkdir()
    message = ENTRIES[way](path, tmp_path / 'work')
    assert f'asks for builtins.list, collections.defaultdict, {__name__}.' in message
    (command,) = re.findall(r'`python -m plugin (convert .*)`', message)
    assert not (tmp_path / 'plain.pth').exists()

    done = run(*shlex.split(command))
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines() == [
        f'plain.pth: {len(resnet())} tensors, and nothing else of {path}',
        'left out: optimizer, lr_scheduler, epoch, args, config, logs',
    ]
    plain = read_checkpoint('plain.pth')['state_dict']
    assert plain.keys() == resnet().keys()
    assert all(torch.equal(plain[n], t) for n, t in resnet().items())
    assert init_cfg(tmp_path / 'plain.pth')
    # A second time nothing is replaced.
    again = run(*shlex.split(command))
    assert again.exit_code == 2 and '--force replaces it' in again.stderr


@pytest.mark.parametrize('attack', RUN_CODE)
def test_taking_the_weights_out_runs_nothing_and_leaves_nothing_half(attack, tmp_path):
    path, out = tmp_path / 'evil.pth', tmp_path / 'out.pth'
    INPUTS[attack][0](path, str(tmp_path / 'trace'))
    done = run('convert', path, out, '--plain')
    assert not (tmp_path / 'trace').exists()
    assert done.exit_code in (0, 1), done.output
    assert {p.name for p in tmp_path.iterdir()} <= {'evil.pth', 'out.pth'}
    assert out.exists() == (done.exit_code == 0)
    if out.exists():
        read_checkpoint(out)


def test_a_file_without_weights_by_name_is_named(tmp_path):
    torch.save({'config': Settings(a=1)}, tmp_path / 'a.pth')
    done = run('convert', tmp_path / 'a.pth', tmp_path / 'b.pth', '--plain')
    assert done.exit_code == 1
    assert done.stderr == (
        f'Error: {tmp_path}/a.pth has no weights by name; it has config\n'
    )


def test_without_a_backbone_or_the_flag_the_option_is_missing(tmp_path):
    done = run('convert', tmp_path / 'a.pth', tmp_path / 'b.pth')
    assert done.exit_code == 2 and "Missing option '--to'" in done.stderr
