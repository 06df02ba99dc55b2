"""``check`` on the command line: what it prints, and its exit status."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner

from plugin.cli import main

RETINANET = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
KEYS = ['key', 'kind', 'rule', 'severity', 'found', 'expected', 'fix', 'edits']
KEYS += ['command', 'unknown', 'safe', 'file', 'line', 'column']


def run(*args):
    return CliRunner().invoke(main, ['check', *map(str, args)])


@pytest.fixture
def wrong(tmp_path):
    path = tmp_path / 'wrong.py'
    path.write_text(
        f'_base_ = {RETINANET!r}\n'
        'model = dict(neck=dict(in_channels=[96, 192, 384, 768]))\n'
    )
    return path


@pytest.fixture
def doubtful(tmp_path):
    path = tmp_path / 'doubtful.py'
    path.write_text(
        f'_base_ = {RETINANET!r}\n'
        "custom_imports = dict(imports=['plugin.det'], allow_failed_imports=True)\n"
    )
    return path


def test_a_clean_config_has_no_problems_and_status_0():
    result = run(RETINANET)
    assert (result.exit_code, result.stderr) == (0, '')
    assert result.stdout == f'{RETINANET}\nno problems\n'


def test_a_problem_is_a_block_with_its_place_and_its_fix(wrong):
    result = run(wrong)
    assert (result.exit_code, result.stderr) == (1, '')
    assert result.stdout == (
        f'{wrong}\n'
        '\n'
        f'{wrong}:2:24: error: channels: model.neck.in_channels [maps]\n'
        '  found     [96, 192, 384, 768]\n'
        '  expected  [256, 512, 1024, 2048]\n'
        '  fix       in wrong.py, line 2 (safe):\n'
        '-model = dict(neck=dict(in_channels=[96, 192, 384, 768]))\n'
        '+model = dict(neck=dict(in_channels=[256, 512, 1024, 2048]))\n'
        '  or, for one training:\n'
        "--cfg-options 'model.neck.in_channels=[256,512,1024,2048]'\n"
        '\n'
        '1 error; --fix writes 1 of them\n'
    )


def test_a_warning_is_status_0(doubtful):
    result = run(doubtful)
    assert result.exit_code == 0
    assert result.stdout.endswith('\n1 warning; --fix writes 1 of them\n')


def test_what_is_long_is_wrapped_at_80_columns(tmp_path):
    path = tmp_path / 'a.py'
    path.write_text("_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coc.py'\n")
    result = CliRunner().invoke(main, ['check', str(path)])
    lines = result.stdout.replace(str(path), 'a.py').splitlines()
    assert max(map(len, lines)) <= 80
    assert "+_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'" in lines
    assert '\x1b' not in result.stdout


def test_json_is_one_document_with_an_entry_a_config(wrong, doubtful):
    result = run(wrong, doubtful, RETINANET, '--json')
    assert (result.exit_code, result.stderr) == (1, '')
    document = json.loads(result.stdout)
    names = [str(wrong), str(doubtful), RETINANET]
    assert [entry['config'] for entry in document] == names
    assert [len(entry['problems']) for entry in document] == [1, 1, 0]
    assert list(document[0]) == ['config', 'problems', 'not_judged']
    assert list(document[0]['problems'][0]) == KEYS
    problem = document[0]['problems'][0]
    right = [256, 512, 1024, 2048]
    assert problem['fix'] == f'model = dict(neck=dict(in_channels={right}))\n'
    assert (problem['file'], problem['line'], problem['column']) == (str(wrong), 2, 24)
    assert (problem['rule'], problem['safe']) == ('maps', True)
    assert problem['edits'] == [
        dict(path='model.neck.in_channels', action='set', value=right)
    ]


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('gone.py', None, 'No such file'),
        ('bad.py', 'x = (\n', "line 1: SyntaxError: '(' was never closed"),
        ('bad.txt', 'x = 1\n', 'a config is a .py, .yml, .yaml or .json file'),
    ],
)
def test_no_config_is_status_2_in_one_line_and_the_others_go_on(
    tmp_path, wrong, name, text, message
):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    result = run(path, wrong, '--json')
    assert result.exit_code == 2
    assert [entry['config'] for entry in json.loads(result.stdout)] == [str(wrong)]
    assert result.stderr.count('\n') == 1
    assert result.stderr.startswith(f'Error: {path}') and message in result.stderr


@pytest.mark.parametrize(
    'text',
    [
        "_base_ = './gone.py'\n",
        "_base_ = 'mmdet::gone/gone.py'\n",
        f"_base_ = {RETINANET!r}\nmodel = dict(type='RetinaNett')\n",
        f"_base_ = {RETINANET!r}\ncustom_imports = dict(imports=['plugin.dett'])\n",
    ],
)
def test_a_base_a_type_and_an_import_that_do_not_resolve_are_status_1(tmp_path, text):
    (tmp_path / 'a.py').write_text(text)
    result = run(tmp_path / 'a.py')
    assert (result.exit_code, result.stderr) == (1, '')
    assert len(result.stdout) < 1500


def test_a_rule_that_fails_is_status_2_and_the_others_are_reported(wrong, monkeypatch):
    import plugin.check

    def fails(checked):
        raise RuntimeError('of our own')
        yield

    first, *others = plugin.check.RULES
    broken = [replace(first, name=name, look=fails) for name in ('one', 'two')]
    monkeypatch.setattr(plugin.check, 'RULES', (*broken, first, *others))
    result = run(wrong)
    assert result.exit_code == 2
    assert 'model.neck.in_channels [maps]' in result.stdout
    assert result.stderr == ''.join(
        f'Error: {wrong}: the rule {name} failed: RuntimeError: of our own\n'
        for name in ('one', 'two')
    )


def test_debug_shows_the_traceback(tmp_path):
    (tmp_path / 'a.py').write_text('x = (\n')
    result = CliRunner().invoke(main, ['--debug', 'check', str(tmp_path / 'a.py')])
    assert result.exit_code == 2 and 'Traceback' in result.stderr


def test_without_a_config_the_usage_is_shown():
    result = run()
    assert result.exit_code == 2 and 'Usage:' in result.stderr


def test_standard_output_holds_the_document_alone(repo_root, wrong, lighter):
    """In a process of its own, where libraries are imported and log."""
    done = subprocess.run(
        [sys.executable, '-m', 'plugin', 'check', str(wrong), '--json'],
        cwd=repo_root,
        env={**os.environ, 'PYTHONPATH': lighter},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert len(json.loads(done.stdout)) == 1
