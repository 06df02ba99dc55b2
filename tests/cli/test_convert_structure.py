"""``convert --by-structure``: weights whose names nobody knows, and their table."""

import json
import shlex

import pytest
import safetensors.torch
import torch
import torchvision
from click.testing import CliRunner
from mmengine.config import ConfigDict
from mmengine.registry import MODELS

import plugin.registry  # noqa: F401
from plugin.cli import main

TARGET = 'mmpretrain.MobileNetV2'
OPTIONS = ('--cfg-options', 'out_indices=(7,)')


def run(*args):
    return CliRunner().invoke(main, ['convert', *map(str, args)])


@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    return torchvision.models.mobilenet_v2(width_mult=0.5).eval()


@pytest.fixture
def source(model, tmp_path):
    path = tmp_path / 'odd.pth'
    weights = {f'net.{n}': t for n, t in model.state_dict().items()}
    torch.save({'epoch': 3, 'model': weights}, path)
    return path


def to(out, *more):
    return (out, '--to', TARGET, *OPTIONS, 'widen_factor=0.5', *more)


def test_the_file_gives_the_same_outputs_as_its_source(tmp_path, model, source):
    out = tmp_path / 'out.pth'
    assert run(source, *to(out)).exit_code == 1  # No name is known.
    result = run(source, *to(out, '--by-structure'))
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == f'{out}: 260 tensors, 100.0 % of the parameters'
    assert lines[1] == f'names: {tmp_path / "out.json"}'
    cfg = eval(lines[-2].partition(': ')[2])
    cfg['init_cfg'] = eval(lines[-1].partition('=')[2])
    backbone = MODELS.build(ConfigDict(cfg))
    backbone.init_weights()
    backbone.eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(backbone(image)[-1], model.features(image))
    meta = torch.load(out)['meta']
    assert meta['source_names'] == 'aligned by structure'
    assert meta['source_prefix'] == 'net.features.'


def test_the_table_can_be_read_and_used_again(tmp_path, source):
    first, second = tmp_path / 'a.pth', tmp_path / 'b.pth'
    assert run(source, *to(first, '--by-structure')).exit_code == 0
    table = json.loads((tmp_path / 'a.json').read_text())
    assert table['source'] == str(source)
    assert table['backbone']['type'] == TARGET
    assert table['names']['net.features.0.0.weight'] == 'conv1.conv.weight'
    assert len(table['names']) == 260
    # .safetensors are sorted, so that only the table helps.
    sorted_ = tmp_path / 'odd.safetensors'
    weights = torch.load(source)['model']
    safetensors.torch.save_file({n: weights[n] for n in sorted(weights)}, sorted_)
    refused = run(sorted_, *to(second, '--by-structure'))
    assert refused.exit_code == 1
    assert 'not in the order of the network (.safetensors files are' in refused.stderr
    done = run(sorted_, *to(second, '--names', tmp_path / 'a.json'))
    assert done.exit_code == 0, done.stderr
    one, other = (torch.load(p)['state_dict'] for p in (first, second))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_width_is_no_variant_and_the_place_where_they_part_is_shown(
    tmp_path, source
):
    result = run(
        source, tmp_path / 'out.pth', '--to', TARGET, *OPTIONS, '--by-structure'
    )
    assert result.exit_code == 1
    assert (
        f'{source} cannot be aligned with {TARGET} by structure: they differ from '
        'tensor 1 on: net.features.0.0.weight (16, 3, 3, 3) in the file, '
        'conv1.conv.weight (32, 3, 3, 3) in the model'
    ) in result.stderr
    assert not (tmp_path / 'out.pth').exists()
    assert not (tmp_path / 'out.json').exists()


def test_a_variant_is_found_by_structure(tmp_path):
    weights = torchvision.models.vgg11(init_weights=False).features.state_dict()
    torch.save(dict(weights), tmp_path / 'a.pth')
    result = run(
        *(tmp_path / 'a.pth', tmp_path / 'b.pth', '--to', 'mmpretrain.VGG'),
        *('--cfg-options', 'out_indices=(4,)', '--by-structure'),
    )
    assert result.exit_code == 0, result.stderr
    assert 'depth=11' in result.stdout


def test_names_that_are_known_need_no_alignment(tmp_path):
    torch.save(torchvision.models.resnet18().state_dict(), tmp_path / 'a.pth')
    result = run(
        *(tmp_path / 'a.pth', tmp_path / 'b.pth', '--to', 'mmdet.ResNet'),
        *('--cfg-options', 'depth=18', '--by-structure'),
    )
    assert result.exit_code == 1
    assert 'convert it without --by-structure' in result.stderr


def test_both_files_are_kept_without_force(tmp_path, source):
    (tmp_path / 'out.json').write_text('mine')
    result = run(source, *to(tmp_path / 'out.pth', '--by-structure'))
    assert result.exit_code == 2
    assert 'out.json: is already there; --force replaces it' in result.stderr
    assert (tmp_path / 'out.json').read_text() == 'mine'
    assert not (tmp_path / 'out.pth').exists()
    forced = run(source, *to(tmp_path / 'out.pth', '--by-structure', '--force'))
    assert forced.exit_code == 0
    assert json.loads((tmp_path / 'out.json').read_text())['names']


@pytest.mark.parametrize(
    ('contents', 'message'),
    [
        ('{', 'is not JSON'),
        ('[1]', 'is not a table of names'),
        ('{"names": {"a": 1}}', 'is not a table of names'),
        ('{"names": {}}', 'is not a table of names'),
        ('{"names": {"a": "b"}}', 'is of other weights'),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path, source, contents, message):
    (tmp_path / 'a.json').write_text(contents)
    result = run(source, *to(tmp_path / 'b.pth', '--names', tmp_path / 'a.json'))
    assert result.exit_code == 1
    assert message in result.stderr
    assert not (tmp_path / 'b.pth').exists()


@pytest.mark.slow
def test_check_prints_the_command_and_it_makes_the_config_clean(tmp_path):
    """Type the command that it prints, and use the file that it names."""
    from plugin.check import check

    model = torchvision.models.mobilenet_v2()
    torch.save(model.state_dict(), tmp_path / 'odd names.pth')
    config = tmp_path / 'config.py'

    def write(checkpoint):
        init = dict(type='Pretrained', checkpoint=str(checkpoint))
        backbone = dict(type=TARGET, out_indices=(2, 4, 7), _delete_=True)
        config.write_text(
            "_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"
            "custom_imports = dict(imports=['plugin.det'], "
            'allow_failed_imports=False)\n'
            f'model = dict(backbone=dict(init_cfg={init}, **{backbone}), '
            'neck=dict(in_channels=[24, 64, 1280], start_level=0))\n'
        )

    write(tmp_path / 'odd names.pth')
    (problem,) = [p for p in check(str(config)) if p.kind == 'pretrained']
    assert 'by their order and shapes these may be weights of MobileNetV2' in (
        problem.expected
    )
    words = shlex.split(problem.command)
    assert words[:3] == ['python', '-m', 'plugin'] and words[-1] == '--by-structure'
    result = CliRunner().invoke(main, words[3:])
    assert result.exit_code == 0, result.output
    write(words[5])
    assert [p for p in check(str(config)) if p.kind == 'pretrained'] == []
