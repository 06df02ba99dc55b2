"""``swap`` on the command line: what it prints, and what it does to files."""

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from mmengine.config import Config

from plugin import swap as swapping
from plugin.cli import main
from plugin.config.problem import Problem, assign

pytestmark = pytest.mark.slow

RETINANET = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
OWN_NET = """
from torch import nn

from plugin.registry import MODELS


@MODELS.register_module()
class SwapNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=s, padding=1)
            for a, b, s in ((3, 8, 8), (8, 16, 2), (16, 32, 2))
        )

    def forward(self, x):
        maps = []
        for conv in self.convs:
            x = conv(x)
            maps.append(x)
        return tuple(maps)
"""


def run(*args):
    return CliRunner().invoke(main, ['swap', *map(str, args)])


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def own_net(folder, monkeypatch):
    from plugin.registry import MODELS

    (folder / 'swap_net.py').write_text(OWN_NET)
    monkeypatch.syspath_prepend(folder)
    yield
    sys.modules.pop('swap_net', None)
    MODELS.module_dict.pop('SwapNet', None)


def test_it_says_what_it_wrote_and_how_to_train_it():
    done = run(RETINANET, 'timm:resnet10t', '-o', 'out.py')
    assert done.exit_code == 0, done.stderr
    assert done.stdout.splitlines() == [
        'out.py: 16 lines, checked',
        '  out_indices  1, 2, 3, 4',
        '  strides      4, 8, 16, 32',
        '  channels     64, 128, 256, 512',
        '  weights      resnet10t.c3_in1k of timm',
        'mim train mmdet out.py',
    ]
    assert len(Path('out.py').read_text().splitlines()) == 16
    assert [path.name for path in Path().iterdir()] == ['out.py']


def test_options_are_the_backbone_s():
    done = run(
        *(RETINANET, 'mmdet.ResNet', '--cfg-options', 'depth=18', 'frozen_stages=2'),
        *('--out-indices', '1,2,3', '-o', 'out.py'),
    )
    assert done.exit_code == 0, done.stderr
    backbone = Config.fromfile('out.py').model.backbone
    assert (backbone.depth, backbone.frozen_stages) == (18, 2)
    assert backbone.out_indices == (1, 2, 3)


def test_a_file_that_is_there_stays_without_force():
    Path('out.py').write_text('mine')
    done = run(RETINANET, 'timm:resnet10t', '-o', 'out.py')
    assert done.exit_code == 2
    assert done.stderr == 'Error: out.py: is already there; --force replaces it\n'
    assert Path('out.py').read_text() == 'mine'
    assert run(RETINANET, 'timm:resnet10t', '-o', 'out.py', '--force').exit_code == 0
    assert Path('out.py').read_text().startswith('_base_ = ')


def test_a_pair_that_does_not_fit_is_status_1_and_a_file_that_is_there_stays():
    Path('out.py').write_text('mine')
    base = 'mmdet::yolox/yolox_s_8xb8-300e_coco.py'
    patches = 'vit_tiny_patch16_224'
    options = ('--cfg-options', 'timm_kwargs.patch_size=14')
    done = run(base, f'timm:{patches}', '-o', 'out.py', '--force', *options)
    assert done.exit_code == 1
    assert done.stdout == ''
    assert done.stderr.startswith('Error: timm:vit_tiny_patch16_224 does not fit into')
    assert 'Traceback' not in done.stderr
    assert Path('out.py').read_text() == 'mine'


@pytest.mark.parametrize(
    'args',
    [
        ('nowhere.py', 'timm:resnet10t', '-o', 'out.py'),
        ('mmdet::retinanet/nowhere.py', 'timm:resnet10t', '-o', 'out.py'),
        (RETINANET, 'nowhere.py', '-o', 'out.py'),
        (RETINANET, 'timm:resnet10t'),
        (RETINANET, 'timm:resnet10t', '--out-indices', 'a', '-o', 'out.py'),
        (
            *(RETINANET, 'timm:resnet10t', '--out-indices', '1,2,3', '-o', 'out.py'),
            *('--cfg-options', 'out_indices=[1,2,3]'),
        ),
    ],
)
def test_wrong_usage_and_missing_files_are_status_2(args):
    done = run(*args)
    assert done.exit_code == 2
    assert 'Traceback' not in done.stderr and done.stdout == ''
    assert list(Path().iterdir()) == []


def test_what_is_no_config_is_status_2():
    Path('base.py').write_text('def model(:\n')
    done = run('base.py', 'timm:resnet10t', '-o', 'out.py')
    assert done.exit_code == 2
    assert 'base.py' in done.stderr and 'line 1' in done.stderr
    assert not Path('out.py').exists()


@pytest.mark.parametrize(
    ('out', 'reference'),
    [
        ('bases/out.py', './base.py'),
        ('out.py', './bases/base.py'),
        ('a/b/out.py', '../../bases/base.py'),
    ],
)
def test_a_base_is_named_from_where_the_config_is(
    out, reference, tmp_path_factory, monkeypatch
):
    Path('bases').mkdir()
    Path('bases/base.py').write_text(f'_base_ = {RETINANET!r}\nmine = 1\n')
    done = run('bases/base.py', 'timm:resnet10t', '-o', out)
    assert done.exit_code == 0, done.stderr
    path = Path(out).resolve()
    assert path.read_text().startswith(f'_base_ = {reference!r}\n')
    monkeypatch.chdir(tmp_path_factory.mktemp('elsewhere'))
    assert Config.fromfile(str(path)).mine == 1


def test_a_base_is_found_from_behind_a_link():
    Path('deep/er').mkdir(parents=True)
    Path('link').symlink_to('deep/er')
    Path('base.py').write_text(f'_base_ = {RETINANET!r}\nmine = 1\n')
    assert run('base.py', 'timm:resnet10t', '-o', 'link/out.py').exit_code == 0
    for out in ('link/out.py', 'deep/er/out.py'):
        assert Config.fromfile(out).mine == 1


def test_the_base_itself_is_not_replaced():
    text = f'_base_ = {RETINANET!r}\n'
    Path('base.py').write_text(text)
    done = run('base.py', 'timm:resnet10t', '-o', './base.py', '--force')
    assert done.exit_code == 1 and 'is the base itself' in done.stderr
    assert Path('base.py').read_text() == text


def test_only_a_py_file_is_written():
    assert run(RETINANET, 'timm:resnet10t', '-o', 'out.yaml').exit_code == 1
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    'backbone',
    [
        ('plugin.SwapNet', '--import', 'swap_net'),
        ('swap_net.SwapNet',),
        ('swap_net.py',),
    ],
)
def test_a_user_s_own_module_is_imported(backbone, own_net):
    done = run(RETINANET, *backbone, '-o', 'out.py')
    assert done.exit_code == 0, done.stderr
    cfg = Config.fromfile('out.py')
    assert cfg.model.backbone.type == 'plugin.SwapNet'
    assert cfg.custom_imports.imports == ['swap_net', 'plugin.det']
    assert 'It imports swap_net, which must be on PYTHONPATH.' in done.stdout


def test_imports_of_the_base_stay(own_net):
    Path('base.py').write_text(
        f'_base_ = {RETINANET!r}\n'
        "custom_imports = dict(imports=['json'], allow_failed_imports=False)\n"
    )
    assert run('base.py', 'swap_net.py', '-o', 'out.py').exit_code == 0
    cfg = Config.fromfile('out.py')
    assert cfg.custom_imports.imports == ['json', 'swap_net', 'plugin.det']


def wrong(severity):
    key = 'model.neck.in_channels'
    return lambda path: [Problem(key, 'channels', severity, [1], [2], assign(key, [2]))]


def test_what_check_finds_wrong_is_not_written(monkeypatch):
    monkeypatch.setattr(swapping, 'check', wrong('error'))
    done = run(RETINANET, 'timm:resnet10t', '-o', 'a/b/out.py')
    assert done.exit_code == 1
    assert 'model.neck.in_channels: found [1], expected [2]' in done.stderr
    assert list(Path().iterdir()) == []


def test_what_check_warns_of_is_reported(monkeypatch):
    monkeypatch.setattr(swapping, 'check', wrong('warning'))
    done = run(RETINANET, 'timm:resnet10t', '-o', 'out.py')
    assert done.exit_code == 0
    assert '  warning      model.neck.in_channels: found [1], expected [2]' in (
        done.stdout
    )
    assert '  fix          model.neck.in_channels=[2]' in done.stdout


def test_nothing_is_left_after_an_interrupt(monkeypatch):
    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(swapping, 'check', interrupted)
    assert run(RETINANET, 'timm:resnet10t', '-o', 'a/out.py').exit_code != 0
    assert list(Path().iterdir()) == []
