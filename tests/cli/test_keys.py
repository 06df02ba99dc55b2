"""``keys``: what is in a checkpoint, with what repeats shown once."""

import json

import pytest
import timm
import torch
from click.testing import CliRunner

from plugin.cli import main


def run(*args):
    return CliRunner().invoke(main, ['keys', *map(str, args)])


@pytest.fixture
def path(tmp_path):
    weights = {
        'backbone.conv.weight': torch.zeros(4, 3, 2, 2),
        **{
            f'backbone.layers.{i}.{part}.{leaf}': torch.zeros(4)
            for i in range(3)
            for part in ('norm1', 'norm2')
            for leaf in ('weight', 'bias')
        },
        'backbone.layers.3.norm1.weight': torch.zeros(8),
        'backbone.steps': torch.tensor(3),
        'head.weight': torch.zeros(2, 4, dtype=torch.float16),
    }
    path = tmp_path / 'a.pth'
    torch.save({'state_dict': weights, 'meta': {'epoch': 3}, 'optimizer': {}}, path)
    return path


def test_the_tree_joins_single_parts_and_folds_what_repeats(path):
    result = run(path)
    assert result.exit_code == 0
    first, *rows, last = result.stdout.splitlines()
    assert first == f'{path}: 16 tensors, 113 elements'
    assert last == 'besides: meta (dict), optimizer (dict)'
    assert [' '.join(row.split()) for row in rows] == [
        'backbone',
        'conv.weight 4x3x2x2 float32',
        'layers',
        '0-2',
        'norm1',
        'weight 4 float32',
        'bias 4 float32',
        'norm2',
        'weight 4 float32',
        'bias 4 float32',
        '3.norm1.weight 8 float32',
        'steps scalar int64',
        'head.weight 2x4 float16',
    ]
    assert [len(row) - len(row.lstrip()) for row in rows[:5]] == [0, 2, 2, 4, 6]


def test_json_has_every_name_and_nothing_else_is_printed(path):
    document = json.loads(run(path, '--json').stdout)
    assert len(document['tensors']) == 16
    assert document['tensors']['head.weight'] == {'shape': [2, 4], 'dtype': 'float16'}
    assert document['others'] == {'meta': 'dict', 'optimizer': 'dict'}
    assert (document['elements'], document['names']) == (113, None)


def test_whose_names_they_are_is_said(tmp_path):
    torch.save(timm.create_model('convnext_atto').state_dict(), tmp_path / 'a.pth')
    assert "in timm's ConvNeXt names" in run(tmp_path / 'a.pth').stdout


def test_parts_of_other_shapes_are_not_folded(tmp_path):
    weights = {f'{i}.w': torch.zeros(2 + i // 2) for i in range(4)}
    torch.save(weights | {'6.w': torch.zeros(3)}, tmp_path / 'a.pth')
    names = [row.split()[0] for row in run(tmp_path / 'a.pth').stdout.splitlines()[1:]]
    assert names == ['0-1.w', '2-3.w', '6.w']


def test_a_file_without_weights_says_so(tmp_path):
    torch.save({'meta': {}}, tmp_path / 'a.pth')
    result = run(tmp_path / 'a.pth')
    assert result.exit_code == 0
    assert ': 0 tensors, 0 elements' in result.stdout


def test_a_text_file_is_status_1_and_a_missing_one_2(tmp_path):
    (tmp_path / 'a.pth').write_text('Hello')
    result = run(tmp_path / 'a.pth')
    assert result.exit_code == 1
    assert "is not a checkpoint: it begins with b'Hello'" in result.stderr
    assert run(tmp_path / 'b.pth').exit_code == 2


@pytest.mark.parametrize('suffix', ['.pth', '.safetensors'])
def test_where_converted_weights_are_from_is_shown(tmp_path, suffix):
    torch.save(timm.create_model('convnext_atto').state_dict(), tmp_path / 'a.pth')
    out = tmp_path / f'out{suffix}'
    args = ['convert', str(tmp_path / 'a.pth'), str(out), '--to', 'plugin.ConvNeXt']
    assert CliRunner().invoke(main, args).exit_code == 0
    lines = run(out).stdout.splitlines()
    assert f'source: {tmp_path / "a.pth"}' in lines
    assert "source_names: timm's ConvNeXt" in lines
    provenance = json.loads(run(out, '--json').stdout)['provenance']
    assert provenance['source'] == str(tmp_path / 'a.pth')
