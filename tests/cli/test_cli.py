import json
import subprocess
import sys
from types import ModuleType

import click
import pytest
from click.testing import CliRunner

from plugin import __version__
from plugin.cli import COMMANDS, main


def run(*args: str):
    return CliRunner().invoke(main, list(args))


@pytest.fixture
def broken(monkeypatch):
    """A command ``broken`` that raises what the test puts into the list."""
    raised: list[BaseException] = []

    @click.command()
    def broken() -> None:
        raise raised[0]

    module = ModuleType('plugin.cli.broken')
    module.broken = broken
    monkeypatch.setitem(sys.modules, 'plugin.cli.broken', module)
    monkeypatch.setitem(COMMANDS, 'broken', 'Raises.')
    return raised


def test_help_names_every_command():
    result = run('--help')
    assert result.exit_code == 0
    assert all(name in result.stdout for name in COMMANDS)


@pytest.mark.parametrize('command', [(), *((name,) for name in COMMANDS)])
def test_help_fits_a_screen_and_shows_two_examples(command):
    result = run(*command, '--help')
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    # That of all names each of them.
    assert len(lines) <= (24 if command else 28)
    assert max(len(line) for line in lines) <= 80
    assert sum(line.lstrip().startswith('python -m plugin') for line in lines) == 2


def test_help_imports_no_heavy_library(repo_root):
    code = (
        'import sys\n'
        'from plugin.cli import main\n'
        "main(['--help'], standalone_mode=False)\n"
        "heavy = ('torch', 'mmengine', 'mmcv', 'mmdet', 'timm', 'cv2', 'numpy')\n"
        'sys.exit([name for name in heavy if name in sys.modules] or 0)\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=repo_root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert 'shapes' in done.stdout


def test_python_dash_m_shows_the_version(repo_root):
    done = subprocess.run(
        [sys.executable, '-m', 'plugin', '--version'],
        cwd=repo_root,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, '')
    assert __version__ in done.stdout


@pytest.mark.parametrize('args', [(), ('probee',), ('--wrong',), ('shapes',)])
def test_wrong_usage_is_status_2_without_a_traceback(args):
    result = run(*args)
    assert result.exit_code == 2
    assert 'Usage:' in result.stderr
    assert 'Traceback' not in result.stderr


def test_a_users_mistake_is_one_line_and_status_1(broken):
    broken.append(ValueError('depth=51: write 50'))
    result = run('broken')
    assert result.exit_code == 1
    assert result.stdout == ''
    assert result.stderr == 'Error: depth=51: write 50\n'


def test_a_missing_file_is_one_line_and_status_2(broken):
    broken.append(FileNotFoundError(2, 'No such file or directory', 'a.py'))
    result = run('broken')
    assert result.exit_code == 2
    assert result.stderr == 'Error: a.py: No such file or directory\n'


def test_a_failure_of_our_own_names_its_type_and_the_way_to_the_traceback(broken):
    broken.append(KeyError('neck'))
    result = run('broken')
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: KeyError: 'neck'\n")
    assert '--debug' in result.stderr
    assert 'Traceback' not in result.stderr


def test_debug_shows_the_traceback(broken):
    broken.append(ValueError('depth=51: write 50'))
    result = run('--debug', 'broken')
    assert result.exit_code == 1
    assert 'Traceback' in result.stderr
    assert result.stderr.endswith('Error: depth=51: write 50\n')


def test_shapes_generates_once_and_then_keeps(tmp_path):
    out = str(tmp_path / 'data')
    options = ('--train', '2', '--val', '1', '--size', '32x48', '--seed', '9')
    first = run('shapes', out, *options)
    assert first.exit_code == 0, first.stderr
    assert '2 training and 1 held-out images' in first.stdout
    manifest = json.loads((tmp_path / 'data' / 'shapes.json').read_text())
    assert manifest.items() >= dict(height=32, width=48, seed=9).items()
    second = run('shapes', out, *options)
    assert second.exit_code == 0
    assert 'kept' in second.stdout


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (('--size', '128'), "'128' is not height x width"),
        (('--size', '8x8'), 'size 8x8'),
        (('--train', '-1'), 'train=-1'),
        (('--val', '0'), 'val=0'),
        (('--seed', '-1'), 'seed=-1'),
        (('--train', 'many'), "'many' is not a valid integer"),
    ],
)
def test_shapes_refuses_bad_options_with_status_2(tmp_path, options, message):
    result = run('shapes', str(tmp_path / 'data'), *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert 'Traceback' not in result.stderr
    assert not (tmp_path / 'data').exists()


def test_shapes_says_in_one_line_that_a_folder_can_not_be_written(tmp_path):
    (tmp_path / 'file').write_text('')
    result = run('shapes', str(tmp_path / 'file' / 'data'))
    assert result.exit_code == 2
    assert result.stderr.count('\n') == 1
    assert str(tmp_path / 'file') in result.stderr


def test_shapes_says_in_one_line_that_the_disk_is_full(tmp_path, monkeypatch):
    from plugin.demo.shapes import dataset

    def full(path, image):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(dataset, '_write_png', full)
    result = run('shapes', str(tmp_path / 'data'))
    assert result.exit_code == 2
    assert result.stderr == (
        f'Error: cannot write to {tmp_path / "data"}: No space left on device\n'
    )
    assert list(tmp_path.iterdir()) == []


def test_shapes_names_the_parameter_that_differs(tmp_path):
    out = str(tmp_path / 'data')
    options = ('--train', '1', '--val', '1', '--size', '32x32')
    assert run('shapes', out, *options).exit_code == 0
    result = run('shapes', out, *options, '--seed', '3')
    assert result.exit_code == 2
    assert 'seed 0, not 3' in result.stderr
    forced = run('shapes', out, *options, '--seed', '3', '--force')
    assert forced.exit_code == 0
