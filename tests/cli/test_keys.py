"""``keys``: what is in a checkpoint, with what repeats shown once."""

import json

import pytest
import timm
import torch
from click.testing import CliRunner

from plugin.cli import main
from plugin.cli.keys import lines, tree


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


def rows_of(path, weights):
    torch.save(weights, path)
    result = run(path)
    assert result.exit_code == 0, result.output
    return [' '.join(row.split()) for row in result.stdout.splitlines()[1:]]


def test_names_of_dots_and_nothing_are_listed(tmp_path):
    names = ['', '.', 'a.', '.b', 'c..d', 'e']
    rows = rows_of(tmp_path / 'a.pth', {name: torch.zeros(2) for name in names})
    assert rows == [
        "'' 2 float32",
        "'' 2 float32",
        'b 2 float32',
        'a. 2 float32',
        'c..d 2 float32',
        'e 2 float32',
    ]


def test_a_name_of_very_many_parts_is_one_row(tmp_path):
    name = '.'.join(map(str, range(20_000)))
    weights = {name: torch.zeros(2), 'b': torch.zeros(3)}
    assert rows_of(tmp_path / 'a.pth', weights) == [f'{name} 2 float32', 'b 3 float32']
    # It does not push the columns of the others out of sight.
    torch.save(weights, tmp_path / 'a.pth')
    assert (
        max(len(row) for row in run(tmp_path / 'a.pth').stdout.splitlines()[2:]) < 200
    )


def test_numbers_that_are_none_are_not_folded(tmp_path):
    names = ['00', '01', '9' * 5000, '\u0661', '\u0662', '\u00b2']
    rows = rows_of(tmp_path / 'a.pth', {name: torch.zeros(2) for name in names})
    assert len(rows) == len(names)


def test_what_would_move_the_cursor_is_shown(tmp_path):
    name = 'a\x1b[2J\r\n\u202eb\ud800'
    meta = {'converted_by': 'x\x1b]0;title\x07', 5: 6, 'other': 7}
    torch.save(
        {'state_dict': {name: torch.zeros(2)}, 'meta': meta, name: 1},
        tmp_path / 'a.pth',
    )
    result = run(tmp_path / 'a.pth')
    assert result.exit_code == 0
    shown = r'a\x1b[2J\r\n\u202eb\ud800'
    assert [' '.join(row.split()) for row in result.stdout.splitlines()[1:]] == [
        f'{shown} 2 float32',
        r'converted_by: x\x1b]0;title\x07',
        f'besides: meta (dict), {shown} (int)',
    ]
    document = json.loads(run(tmp_path / 'a.pth', '--json').stdout)
    assert list(document['tensors']) == [name]
    assert document['provenance'] == {'converted_by': 'x\x1b]0;title\x07'}


def test_weights_of_a_wrapped_model_are_not_listed_besides(tmp_path):
    torch.save({'module.a.weight': torch.zeros(2), 'epoch': 3}, tmp_path / 'a.pth')
    result = run(tmp_path / 'a.pth')
    assert result.stdout.splitlines()[1:] == [
        'module.a.weight  2  float32',
        'besides: epoch (int)',
    ]


def test_the_tree_is_built_in_steps_that_grow_with_the_names():
    # What looks alike is compared by a number: each node is looked at once.
    class Counted(dict):
        looked_up = 0

        def setdefault(self, key, default):
            Counted.looked_up += 1
            return super().setdefault(key, default)

    steps = []
    for layers in (100, 200, 400):
        names = [f'a.{i}.b.{j}.c' for i in range(layers) for j in range(10)]
        Counted.looked_up = 0
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr('plugin.cli.keys._Kinds', Counted)
            rows = list(lines(tree({name: torch.zeros(1) for name in names})))
        steps.append(Counted.looked_up)
        assert [name for _, name, _ in rows] == ['a', f'0-{layers - 1}.b', '0-9.c']
    assert steps[1] / steps[0] == pytest.approx(2, rel=0.05)
    assert steps[2] / steps[1] == pytest.approx(2, rel=0.05)
