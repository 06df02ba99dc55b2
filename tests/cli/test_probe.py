"""``probe``: what it prints, as a table and as JSON, and with which exit status."""

import json
import os
import socket
import subprocess
import sys

import pytest
import safetensors.torch
import torch
from click.testing import CliRunner
from mmengine.runner import CheckpointLoader
from rich.console import Console

from plugin.backbones import CATALOGUE
from plugin.cli import main
from plugin.probe import report
from plugin.probe.catalogue import GROUPS

pytestmark = pytest.mark.slow

KEYS = [
    *('backbone', 'out_indices', 'channels', 'strides', 'layout', 'params', 'flops'),
    *('input', 'size_divisor', 'mean', 'std', 'num_layers', 'frozen_stages'),
]
RESNET = ('mmdet.ResNet', '--cfg-options', 'depth=50')


def run(*args):
    return CliRunner().invoke(main, ['probe', *map(str, args)])


def document(*args):
    result = run(*args, '--json')
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_json_is_what_the_contract_says():
    found = document(*RESNET, '--out-indices', '1,2,3')
    assert list(found) == KEYS
    assert found == dict(
        backbone='mmdet.ResNet',
        out_indices=[1, 2, 3],
        channels=[512, 1024, 2048],
        strides=[8, 16, 32],
        layout='NCHW',
        params=23508032,
        flops=4087136256,
        input=224,
        size_divisor=1,
        mean=None,
        std=None,
        num_layers=16,
        frozen_stages=-1,
    )


def test_what_is_not_known_is_null_in_json():
    found = document('mmseg.DDRNet', '--input', '64')
    unknown = [key for key, value in found.items() if value is None]
    assert unknown == ['out_indices', 'mean', 'std', 'frozen_stages']
    found = document('mmpretrain.InceptionV3')
    assert (found['channels'], found['strides']) == ([None, 1000], None)


def test_the_table_is_this():
    result = run(
        *('timm:convnext_atto.d2_in1k', '--out-indices', '1,2,3', '--input', '96')
    )
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        'timm:convnext_atto.d2_in1k\n'
        '\n'
        'map  out_index  channels  stride  at 96x96\n'
        '  0          1        80       8     12x12\n'
        '  1          2       160      16       6x6\n'
        '  2          3       320      32       3x3\n'
        '\n'
        'layout         NCHW\n'
        'parameters     3.37 M  (3,373,880)\n'
        'multiply-adds  100.47 M at 96x96\n'
        'images         of any size\n'
        'mean           [123.675, 116.28, 103.53]\n'
        'std            [58.395, 57.12, 57.375]\n'
        'num_layers     12, for layer decay\n'
        'frozen_stages  -1\n'
        '\n'
        'backbone=dict(\n'
        "    type='plugin.TIMMBackbone',\n"
        "    model_name='convnext_atto.d2_in1k',\n"
        '    out_indices=(1, 2, 3),\n'
        ')\n'
        'neck=dict(in_channels=[80, 160, 320])\n'
        'decode_head=dict(in_channels=[80, 160, 320], in_index=[0, 1, 2])\n'
    )
    assert result.stderr == ''


def test_the_lines_to_copy_build_the_same_backbone():
    arguments = ('--cfg-options', 'arch=regnetx_400mf', '--out-indices', '0,1,2,3')
    result = run('mmpretrain.RegNet', *arguments)
    lines = result.stdout.partition('backbone=')[2].partition('\nneck=')
    cfg = eval(lines[0], dict(dict=dict))
    from plugin.probe import probe

    assert lines[2].startswith(f'dict(in_channels={list(probe(cfg).channels)})')


@pytest.mark.parametrize(
    'args',
    [
        RESNET,
        ('mmpretrain.ConvNeXt',),
        ('mmseg.DDRNet',),
        ('timm:vit_tiny_patch16_224',),
        ('mmdet::retinanet/retinanet_r50-caffe_fpn_1x_coco.py',),
        ('mmpretrain.TIMMBackbone', '--cfg-options', 'model_name=resnet18'),
        ('--list',),
    ],
    ids=' '.join,
)
def test_it_fits_80_columns_without_colour(args):
    result = run(*args)
    assert result.exit_code == 0, result.output
    assert '\x1b' not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert not any(line.endswith(' ') for line in result.stdout.splitlines())


def test_a_narrow_shell_does_not_cut_what_is_piped(monkeypatch):
    before = run(*RESNET, '--input', '64').stdout
    monkeypatch.setenv('COLUMNS', '20')
    assert run(*RESNET, '--input', '64').stdout == before


def test_on_a_terminal_it_has_colour(monkeypatch):
    console = Console(force_terminal=True, color_system='standard', width=100)
    monkeypatch.setattr(report, 'new_console', lambda: console)
    assert '\x1b[1mmmdet.ResNet\x1b[0m' in run(*RESNET, '--input', '64').stdout


def test_cfg_options_reach_into_the_backbone_of_a_config():
    config = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
    found = document(config, '--cfg-options', 'depth=18', 'norm_cfg.eps=0.1')
    assert found['backbone'] == config
    assert found['channels'] == [64, 128, 256, 512]
    assert found['mean'] == [123.675, 116.28, 103.53]
    assert found['frozen_stages'] == 1


def test_the_backbone_of_a_config_needs_no_line(tmp_path):
    result = run('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py')
    assert 'backbone=' not in result.stdout
    assert 'neck=dict(in_channels=[256, 512, 1024, 2048])\n' in result.stdout
    (tmp_path / 'a.py').write_text(
        "model = dict(backbone=dict(type='plugin.ConvNeXt', arch='atto'))\n"
    )
    result = run(tmp_path / 'a.py')
    assert 'backbone=' not in result.stdout
    assert 'neck=dict(in_channels=[40, 80, 160, 320])\n' in result.stdout


@pytest.mark.parametrize('indices', ['1,2,3', '(1, 2, 3)', '[1,2,3]', ' 1,2,3'])
def test_out_indices_are_taken_as_people_write_them(indices):
    found = document('plugin.ConvNeXt', '--out-indices', indices, '--input', '64')
    assert found['out_indices'] == [1, 2, 3]


def test_negative_out_indices_are_resolved():
    found = document('plugin.ConvNeXt', '--out-indices', '-1', '--input', '64')
    assert (found['out_indices'], found['channels']) == ([3], [768])


@pytest.fixture
def loading(monkeypatch):
    """Return a list of the calls that read weights or use the network; each fails."""
    asked = []

    def refuse(name):
        def call(*args, **kwargs):
            asked.append((name, args))
            raise OSError(f'{name} is not to be called')

        return call

    for owner, name in (
        (torch, 'load'),
        (torch.hub, 'load_state_dict_from_url'),
        (torch.hub, 'download_url_to_file'),
        (safetensors.torch, 'load_file'),
        (CheckpointLoader, 'load_checkpoint'),
        (socket.socket, 'connect'),
        (socket, 'getaddrinfo'),
    ):
        monkeypatch.setattr(owner, name, refuse(name))
    return asked


@pytest.mark.parametrize(
    'args',
    [
        ('timm:resnet10t', '--cfg-options', 'pretrained=True'),
        ('timm:resnet10t', '--cfg-options', 'checkpoint_path=nowhere.pth'),
        ('mmdet::retinanet/retinanet_r18_fpn_1x_coco.py',),
        ('mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py',),
        ('mmseg::pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py',),
        # Their own arguments say pretrained=True or may.
        (
            'mmseg.TIMMBackbone',
            *('--cfg-options', 'model_name=resnet10t', 'features_only=True'),
        ),
        (
            'mmpretrain.TIMMBackbone',
            *('--cfg-options', 'model_name=resnet10t', 'pretrained=True'),
        ),
    ],
    ids=' '.join,
)
def test_no_weights_are_read_and_nothing_is_downloaded(loading, args):
    result = run(*args, '--input', '64')
    assert (result.exit_code, loading) == (0, []), result.output


@pytest.mark.parametrize(
    ('args', 'status', 'message'),
    [
        (('mmdet.ResNet',), 1, 'mmdet.ResNet needs depth'),
        (('mmdet.ResNett',), 1, 'the nearest names are mmdet.ResNet, '),
        (('mmcls.ConvNeXt',), 1, 'write mmpretrain.ConvNeXt'),
        (('mmpretrain.SwinTransformerV2',), 1, 'write --input 256'),
        (('plugin.A', '--import', 'no_such_module'), 1, 'no_such_module.py'),
        (('--list', '--import', 'no_such_module'), 1, 'no_such_module.py'),
        (('--list', 'timm:resnett50'), 1, 'timm:resnet50'),
        (('nowhere.py',), 2, 'nowhere.py: No such file'),
        (('mmdet::retinanet/nowhere.py',), 2, 'the nearest names are mmdet::'),
        ((), 2, "Missing argument 'BACKBONE'"),
        (('--list', 'mmrotate'), 2, 'one of plugin, own, mmdet'),
        (('plugin.ConvNeXt', '--out-indices', 'a'), 2, "'a' is not a list of numbers"),
        (('plugin.ConvNeXt', '--input', '0'), 2, '0 is not in the range'),
        (
            (
                *('plugin.ConvNeXt', '--out-indices', '1'),
                *('--cfg-options', 'out_indices=2'),
            ),
            *(2, 'Write out_indices once'),
        ),
    ],
    ids=lambda value: ' '.join(value) if isinstance(value, tuple) else '',
)
def test_a_mistake_is_reported_without_a_traceback(args, status, message):
    result = run(*args)
    assert result.exit_code == status, result.output
    assert message in result.stderr
    assert result.stdout == '' and 'Traceback' not in result.stderr


@pytest.mark.parametrize(
    ('text', 'status', 'message'),
    [
        ('def f(:', 2, 'line 1: SyntaxError: invalid syntax'),
        ("_base_ = 'nowhere.py'", 1, '_base_ is nowhere.py; write _base_='),
        (
            "custom_imports = dict(imports=['nono'], allow_failed_imports=False)",
            *(1, "No module named 'nono'; run export PYTHONPATH="),
        ),
        ('model = dict(neck=1)', 1, 'has no backbone in its model'),
        (
            "model = dict(backbone=dict(type='mmdet.ResNet', depht=18))",
            *(1, 'mmdet.ResNet takes no depht; did you mean depth'),
        ),
    ],
)
def test_a_config_with_a_mistake_is_reported_in_one_line(
    tmp_path, text, status, message
):
    (tmp_path / 'a.py').write_text(f'{text}\n')
    result = run(tmp_path / 'a.py')
    assert (result.exit_code, result.stdout) == (status, '')
    assert message in result.stderr
    assert result.stderr.count('\n') == 1


def test_a_class_of_the_users_own_is_measured_where_it_lies(
    tmp_path, repo_root, warm_python
):
    (tmp_path / 'my_backbone.py').write_text(
        'from torch import nn\n'
        'from plugin.registry import MODELS\n'
        "print('imported')\n"
        '@MODELS.register_module()\n'
        'class MyNet(nn.Module):\n'
        '    def __init__(self, width=8):\n'
        '        super().__init__()\n'
        "        print('built')\n"
        '        self.stem = nn.Conv2d(3, width, 4, stride=4)\n'
        '    def forward(self, x):\n'
        '        return (self.stem(x),)\n'
    )
    # As the console script does, without the folder on the path.
    code = (
        'import sys\n'
        'sys.path = [path for path in sys.path if path]\n'
        'from plugin.cli import main\n'
        'main(sys.argv[1:])\n'
    )
    done = subprocess.run(
        [
            *(warm_python, '-c', code, 'probe', 'plugin.MyNet'),
            *('--import', 'my_backbone', '--cfg-options', 'width=4', '--json'),
        ],
        cwd=tmp_path,
        env={**os.environ, 'PYTHONPATH': str(repo_root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found['channels'], found['strides']) == ([4], [4])
    # What it prints is no part of the answer.
    assert 'imported\n' in done.stderr and 'built\n' in done.stderr


@pytest.mark.slow
def test_standard_output_is_one_json_document(repo_root, warm_python):
    # mmengine and mmpretrain log what they build.
    args = ('--cfg-options', 'model_name=resnet10t', 'features_only=True', '--json')
    done = subprocess.run(
        [warm_python, '-m', 'plugin', 'probe', 'mmpretrain.TIMMBackbone', *args],
        cwd=repo_root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)) == KEYS


def test_a_model_of_timm_imports_none_of_the_four_libraries(repo_root, lighter):
    code = (
        'import sys\n'
        'from plugin.cli import main\n'
        "main(['probe', 'timm:resnet10t', '--json'], standalone_mode=False)\n"
        "heavy = ('mmdet', 'mmseg', 'mmyolo', 'mmpretrain', 'mmcv')\n"
        'sys.exit([name for name in heavy if name in sys.modules] or 0)\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=repo_root,
        env={**os.environ, 'PYTHONPATH': lighter},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_list_has_every_entry_of_the_catalogue_and_every_group():
    result = run('--list')
    assert result.exit_code == 0, result.output
    words = result.stdout.split()
    assert {f'plugin.{entry.name}' for entry in CATALOGUE} <= set(words)
    groups = document('--list')
    assert tuple(groups) == GROUPS
    for names in groups.values():
        assert set(names) <= set(words)
    assert f'mmyolo ({len(groups["mmyolo"])})\n' in result.stdout


def test_list_of_one_group_is_that_group():
    assert list(document('--list', 'plugin')) == ['plugin']


def test_list_searches_timm():
    import timm

    expected = [f'timm:{name}' for name in timm.list_models('vit_tiny*')]
    assert document('--list', 'timm:vit_tiny*') == {'timm': expected}
    result = run('--list', 'timm:vit_tiny*')
    assert result.stdout.splitlines() == expected
