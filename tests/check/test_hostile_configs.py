"""Configs that are no configs, or hardly: one line or one problem each, and an end.

Each runs through the command, with a config behind it that must still be checked.
"""

import json
import sys

import pytest
from click.testing import CliRunner

from plugin.check import examine, offline
from plugin.cli import main

RETINANET = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
# It has no model, so that it costs nothing to check.
AFTER = 'x = 1\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'after.py').write_text(AFTER)
    yield tmp_path
    sys.modules.pop('leaves', None)


def run(*args):
    result = CliRunner().invoke(main, ['check', *args, 'after.py', '--json'])
    assert 'Traceback' not in result.output
    document = json.loads(result.stdout)
    assert document[-1]['config'] == 'after.py', 'the next one was not looked at'
    return result, document[:-1]


@pytest.mark.parametrize(
    ('contents', 'message'),
    [
        (b'', 'is empty; write at least a _base_ or a model'),
        (bytes(range(256)), 'is not UTF-8 text; save it as UTF-8'),
        (b'x = 1\x00\n', 'null bytes'),
        (b'x = (\n', "line 1: SyntaxError: '(' was never closed"),
        (b'import sys\nsys.exit()\n', 'line 2: it calls sys.exit()'),
        (b'raise SystemExit(3)\n', 'line 1: it calls sys.exit(3)'),
        (b'raise GeneratorExit\n', 'line 1: it raises GeneratorExit'),
        (
            b'class Own(BaseException): pass\nraise Own("so")\n',
            'line 2: it raises Own: so',
        ),
        (b'raise ValueError("no")\n', 'line 1: ValueError: no'),
        (b'_base_ = exit()\n', 'line 1: it calls sys.exit()'),
    ],
)
def test_what_is_no_config_is_status_2_and_one_line(folder, contents, message):
    (folder / 'bad.py').write_bytes(contents)
    result, document = run('bad.py')
    assert (result.exit_code, document) == (2, [])
    assert result.stderr.count('\n') == 1
    assert result.stderr.startswith('Error: ') and message in result.stderr


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('import os\nx = [os]', "TypeError: cannot pickle 'module' object"),
        ('x = dict()\nx["x"] = x', 'it holds itself, or is nested too deeply'),
    ],
)
def test_what_mmengine_cannot_copy_is_of_the_config_not_of_python(
    folder, text, message
):
    result, document = run(write(folder, text))
    assert (result.exit_code, document) == (2, [])
    assert result.stderr == f'Error: bad.py: {message}\n'


def test_a_loop_of_links_is_no_file(folder):
    (folder / 'loop.py').symlink_to('loop.py')
    result, document = run('loop.py')
    assert (result.exit_code, document) == (2, [])
    assert result.stderr == 'Error: loop.py: No such file\n'


def test_a_loop_of_links_beside_a_config_does_not_matter(folder):
    (folder / 'loop.py').symlink_to('loop.py')
    (folder / 'bad.py').write_text("_base_ = './lopp.py'\n")
    result, document = run('bad.py')
    assert [p['key'] for p in document[0]['problems']] == ['_base_']


def test_what_a_config_prints_is_no_part_of_the_document(folder):
    (folder / 'prints.py').write_text("print('hello')\nx = 1\n")
    result, document = run('prints.py')
    assert (result.exit_code, document[0]['problems']) == (0, [])


def write(folder, text, base=RETINANET):
    inherited = f'_base_ = {base!r}\n' if base else "default_scope = 'mmdet'\n"
    (folder / 'bad.py').write_text(inherited + text + '\n')
    return 'bad.py'


# What the entries alone show.
ENTRIES = [
    ('custom_hooks = 5', 'custom_hooks'),
    ('custom_hooks = [None]', 'custom_hooks[0]'),
    ('custom_hooks = [dict(type="EMAHook"), 5]', 'custom_hooks[1]'),
    ('custom_hooks = [dict()]', 'custom_hooks[0]'),
    ('optim_wrapper = 5', 'optim_wrapper'),
    ('train_dataloader = [1, 2]', 'train_dataloader'),
    ('model = dict(data_preprocessor=5)', 'model.data_preprocessor'),
    ('model = dict(neck=dict(type=None))', 'model.neck.type'),
    ('model = dict(neck=dict(type=5))', 'model.neck.type'),
    ('custom_imports = 5', 'custom_imports'),
]


@pytest.mark.parametrize(('text', 'key'), ENTRIES)
def test_an_entry_that_nothing_can_be_read_from_is_named(folder, text, key):
    # mmengine refuses some of these over a dict of a base.
    base = None if 'optim_wrapper' in text else RETINANET
    result, document = run(write(folder, text, base))
    assert [p['key'] for p in document[0]['problems']] == [key], document
    assert result.exit_code == 1
    assert document[0]['not_judged'] == ['the rest: what is wrong above comes first']


@pytest.mark.parametrize('model', ['[]', '5', 'None', "'x'", 'dict()'])
def test_a_model_that_is_none_is_named(folder, model):
    result, document = run(write(folder, f'model = {model}', base=None))
    key = 'model.type' if model == 'dict()' else 'model'
    assert [p['key'] for p in document[0]['problems']] == [key]


def test_the_hub_is_not_asked_again_and_again(folder):
    """Its retries take 23 seconds for each thing that is asked for."""
    constants = pytest.importorskip('huggingface_hub.constants')
    before = constants.HF_HUB_OFFLINE
    with offline():
        assert constants.HF_HUB_OFFLINE
    assert constants.HF_HUB_OFFLINE is before


def test_bases_that_inherit_from_each_other_are_named(folder):
    (folder / 'other.py').write_text("_base_ = './bad.py'\n")
    (folder / 'bad.py').write_text("_base_ = './other.py'\n")
    result, document = run('bad.py')
    (problem,) = document[0]['problems']
    assert problem['found'] == './bad.py, which inherits from this file itself'


def test_a_module_that_exits_is_an_import_that_fails(folder):
    (folder / 'leaves.py').write_text('import sys\nsys.exit()\n')
    text = "custom_imports = dict(imports=['leaves'], allow_failed_imports=False)"
    result, document = run(write(folder, text, base=None))
    (problem,) = document[0]['problems']
    assert problem['key'] == 'custom_imports.imports'
    assert problem['found'] == 'leaves: it calls sys.exit() (leaves.py, line 2)'


def test_a_folder_is_no_base(folder):
    (folder / 'bad.py').write_text("_base_ = './'\n")
    result, document = run('bad.py')
    (problem,) = document[0]['problems']
    assert (problem['found'], problem['expected']) == ('./, a folder', 'a file')
    assert (problem['key'], problem['edits']) == ('_base_', [])


@pytest.mark.parametrize('key', ['train_dataloader', 'optim_wrapper', 'val_cfg'])
def test_a_loop_of_which_a_part_is_missing_is_named(folder, key):
    result, document = run(write(folder, f'{key} = None'))
    assert [p['key'] for p in document[0]['problems']] == [key], document
    assert document[0]['problems'][0]['expected'].startswith('a value, as ')


def test_no_loop_at_all_is_no_mistake(folder):
    parts = ('dataloader', 'cfg', 'evaluator')
    text = '\n'.join(f'val_{p} = None\ntest_{p} = None' for p in parts)
    assert run(write(folder, text))[1][0]['problems'] == []


# What only building or running the model tells.
MODELS = [
    ('backbone=None', 'model.backbone'),
    ('neck=None', 'model.bbox_head.in_channels'),
    ('bbox_head=dict(num_classes=0)', 'model.bbox_head.num_classes'),
    ('backbone=[1, 2]', 'model.backbone'),
    ("bbox_head=dict(num_classes='80')", 'model.bbox_head.num_classes'),
    ('neck=dict(in_channels=[int(1e9)] * 4)', 'model.neck.in_channels'),
    ('backbone=dict(frozen_stages=5)', 'model.backbone.frozen_stages'),
    ('bbox_head=None', 'model.bbox_head'),
    ('neck=dict(out_channels=1.5)', 'model.neck.out_channels'),
    ('neck=dict(out_channels=int(1e9))', 'model.neck.out_channels'),
    ('neck=dict(num_outs=int(1e9))', 'model.neck.num_outs'),
    ('neck={"\\x1b[31mred": 1}', "model.neck['\\x1b[31mred']"),
    ('backbone=dict(out_indices=(-4, -3, -2, -1))', 'model.backbone.out_indices'),
    ('bbox_head=dict(num_classes=10_000)', 'model.bbox_head.num_classes'),
]


@pytest.mark.slow
@pytest.mark.parametrize(('text', 'key'), MODELS)
def test_a_value_that_no_class_takes_is_named(folder, text, key):
    result, document = run(write(folder, f'model = dict({text})'))
    assert [p['key'] for p in document[0]['problems']] == [key], document
    assert result.exit_code == 1
    assert '\x1b' not in CliRunner().invoke(main, ['check', 'bad.py']).output


@pytest.mark.slow
def test_a_constructor_that_does_not_come_to_an_end_is_stopped(folder, monkeypatch):
    monkeypatch.setattr('plugin.check.checked_config.SECONDS', 2.0)
    text = 'model = dict(bbox_head=dict(stacked_convs=int(1e9)))'
    result, document = run(write(folder, text))
    (problem,) = document[0]['problems']
    assert problem['key'] == 'model.bbox_head.stacked_convs'
    assert 'building it takes more than' in problem['found']


@pytest.mark.slow
def test_a_step_that_needs_more_memory_than_is_allowed_is_not_judged(
    folder, monkeypatch
):
    monkeypatch.setattr('plugin.check.rules.training_step._MEMORY', 1 << 26)
    report = examine(RETINANET, step=True)
    assert report.problems == []
    assert report.not_judged == ['the training step: its weights alone take 1 GiB']


@pytest.mark.parametrize('command', ['swap', 'groups'])
def test_other_commands_say_that_a_config_exits(folder, command):
    (folder / 'bad.py').write_text('import sys\nsys.exit()\n')
    more = ['timm:resnet18', '-o', 'out.py'] if command == 'swap' else []
    result = CliRunner().invoke(main, [command, 'bad.py', *more])
    assert result.exit_code in (1, 2)
    assert 'it calls sys.exit()' in result.stderr
    assert 'NotAConfig' not in result.stderr
    assert not (folder / 'out.py').exists()
