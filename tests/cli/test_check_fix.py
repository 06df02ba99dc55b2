"""``check --diff`` and ``--fix``: what they print, and what they write."""

import json
import os
import shutil
import subprocess

import pytest
from click.testing import CliRunner

from plugin.cli import main

pytestmark = pytest.mark.slow

RETINANET = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
DET = "custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)\n"
MY = f"""\
_base_ = {RETINANET!r}
{DET}\
# Ours.
model = dict(
    backbone=dict(_delete_=True, type='plugin.ConvNeXt', arch='tiny'),  # small
    bbox_head=dict(num_classes=20),
)
"""
FIXED = MY.replace(
    'num_classes=20),\n',
    'num_classes=20),\n    neck=dict(in_channels=[96, 192, 384, 768]),\n',
)
ALL_FIXED = FIXED.replace('=20', '=80')


def run(*args):
    return CliRunner().invoke(main, ['check', *map(str, args)])


@pytest.fixture
def my(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'my.py'
    path.write_text(MY)
    return path


def test_a_diff_is_what_patch_takes_and_nothing_is_written(my):
    result = run('--diff', 'my.py')
    assert result.exit_code == 1  # There are errors.
    assert result.stderr == 'my.py: 1 problem would be fixed\n'
    assert my.read_text() == MY
    if shutil.which('patch') is None:
        pytest.skip('needs patch')
    subprocess.run(['patch', '-s'], input=result.stdout.encode(), check=True)
    assert my.read_text() == FIXED


def test_a_diff_of_a_file_without_an_end_of_its_last_line(my):
    my.write_text(MY.rstrip('\n'))
    diff = run('--diff', 'my.py').stdout
    assert '\\ No newline at end of file\n' in diff or diff.endswith('\n')
    if shutil.which('patch') is None:
        pytest.skip('needs patch')
    subprocess.run(['patch', '-s'], input=diff.encode(), check=True)
    assert my.read_text() == FIXED.rstrip('\n')


def test_safe_fixes_are_written_and_the_rest_is_reported(my):
    result = run('--fix', 'my.py')
    assert my.read_text() == FIXED
    assert result.exit_code == 1
    assert result.stderr == 'my.py: 1 problem fixed\n'
    assert 'model.bbox_head.num_classes [classes]' in result.stdout
    assert 'model.neck.in_channels' not in result.stdout
    assert result.stdout.endswith('\n1 error; --unsafe-fixes 1\n')


def test_unsafe_fixes_are_written_when_they_are_asked_for(my):
    result = run('--fix', '--unsafe-fixes', 'my.py')
    assert my.read_text() == ALL_FIXED
    assert (result.exit_code, result.stdout) == (0, 'my.py\nno problems\n')


def test_selected_and_ignored_rules_are_fixed_or_not(my):
    run('--fix', '--ignore', 'maps', 'my.py')
    assert my.read_text() == MY
    run('--fix', '--unsafe-fixes', '--select', 'classes', 'my.py')
    assert my.read_text() == MY.replace('=20', '=80')


def test_what_a_comment_ignores_is_not_fixed(my):
    text = MY.replace(f'{RETINANET!r}\n', f'{RETINANET!r}  # plugin: ignore[maps]\n')
    my.write_text(text)
    run('--fix', 'my.py')
    assert my.read_text() == text


def test_permissions_and_a_link_to_the_file_stay(my, tmp_path):
    my.chmod(0o640)
    (tmp_path / 'link.py').symlink_to(my)
    run('--fix', 'link.py')
    assert (tmp_path / 'link.py').is_symlink()
    assert my.read_text() == FIXED and my.stat().st_mode & 0o777 == 0o640
    assert sorted(os.listdir(tmp_path)) == ['link.py', 'my.py']


def test_a_base_that_is_wrong_is_fixed_and_then_what_it_hid(my):
    my.write_text(MY.replace('1x_coco.py', '1x_coc.py'))
    result = run('--fix', 'my.py')
    assert my.read_text() == FIXED
    assert result.stderr == 'my.py: 2 problems fixed\n'


def test_an_installed_config_is_never_edited(my):
    result = run('--fix', RETINANET)
    assert (result.exit_code, result.stderr) == (0, '')
    # A copy of one that is wrong, in a folder that pip would have made.
    folder = my.parent / 'lib/site-packages/some'
    folder.mkdir(parents=True)
    path = shutil.copy(my, folder)
    result = run('--fix', path)
    assert my.parent.joinpath(path).read_text() == MY
    assert 'a file of an installed package is not edited' in result.stderr


def test_a_yaml_file_is_said_and_left(my):
    my.with_name('my.yaml').write_text(
        f"_base_: '{RETINANET}'\nmodel: {{neck: {{in_channels: [1, 2, 3, 4]}}}}\n"
    )
    result = run('--fix', 'my.yaml')
    assert result.exit_code == 1
    assert result.stderr == (
        'my.yaml: model.neck.in_channels is left: .yaml files are not edited\n'
    )
    assert 'at the end of a config that inherits from my.yaml' in result.stdout


def test_what_is_computed_is_said_and_left(my):
    text = MY + 'hooks = []\nhooks += [dict(type="EMAHok")]\ncustom_hooks = [*hooks]\n'
    my.write_text(text)
    result = run('--fix', 'my.py')
    assert my.read_text().endswith(text[len(MY) :])
    assert 'custom_hooks[0].type is left: ' in result.stderr


def test_several_statements_for_one_name_are_given_in_one(my):
    my.with_name('child.py').write_text("_base_ = './my.py'\n")
    report = run('child.py').stdout
    whole = report.partition('would replace the first:\n')[2].partition('\n\n')[0]
    my.with_name('child.py').write_text(f"_base_ = './my.py'\n{whole}\n")
    assert run('child.py').stdout == 'child.py\nno problems\n'


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['--diff', '--fix'], '--diff shows what --fix writes'),
        (['--unsafe-fixes'], '--unsafe-fixes goes with --diff or --fix'),
        (['--diff', '--json'], '--diff has one format'),
        (['--select', 'mapps'], "'mapps' is no rule; did you mean maps?"),
        (['--ignore', 'maps,xyz'], "'xyz' is no rule; there are bases, imports"),
    ],
)
def test_wrong_usage_is_status_2(my, args, message):
    result = run('my.py', *args)
    assert result.exit_code == 2 and message in result.stderr


# Formats and folders


def test_annotations_of_github_are_at_the_user_s_line(my):
    result = run('my.py', '--format', 'github')
    first, second = result.stdout.splitlines()
    # What is written in mmdet is shown at the config that inherits from it.
    assert first.startswith('::error file=my.py,line=1,col=1,title=maps::')
    assert 'mmdet::_base_/models/retinanet_r50_fpn.py, line' in first
    assert second.startswith('::error file=my.py,line=6,col=20,title=classes::model.')


def test_a_class_in_a_fix_is_written_by_its_name(my):
    """A pure-Python config holds classes, not their names."""
    my.write_text(
        'from mmengine.config import read_base\n'
        'from mmdet.models.backbones import ResNet\n'
        'with read_base():\n'
        '    from .other import *\n'
        "model = dict(type='RetinaNet', "
        'backbone=dict(type=ResNet, depth=50, frozen_stage=1))\n'
        "default_scope = 'mmdet'\n"
    )
    my.with_name('other.py').write_text('lr = 1\n')
    for style in ('json', 'github', 'text'):
        result = run('my.py', '--format', style)
        assert result.exit_code == 1 and 'Traceback' not in result.stderr
    (document,) = json.loads(run('my.py', '--json').stdout)
    (problem,) = [p for p in document['problems'] if p['rule'] == 'arguments']
    assert problem['safe'] and problem['line'] == 5


def test_a_folder_is_searched_and_summed_up(my):
    my.with_name('fine.py').write_text(f'_base_ = {RETINANET!r}\n')
    my.with_name('script.py').write_text('raise SystemExit("not a config")\n')
    result = run('.')
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0] == 'fine.py'
    assert result.stdout.endswith(
        '\n2 errors in 2 configs; --fix writes 1 of them; --unsafe-fixes also 1\n'
    )


def test_a_folder_without_configs_is_status_2(my):
    (my.parent / 'empty').mkdir()
    result = run('empty')
    assert result.exit_code == 2
    assert result.stderr == 'Error: empty: there is no config in this folder\n'
