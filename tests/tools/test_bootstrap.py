"""Making the environment: whole or not at all, and a clear word where it can't be."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from scripts import load_script


@pytest.fixture
def bootstrap(repo_root, tmp_path, monkeypatch):
    """The script in a folder of its own; making and filling .venv are stand-ins."""
    module = load_script(repo_root / 'tools/bootstrap.py')
    monkeypatch.setattr(module, 'ROOT', str(tmp_path))
    monkeypatch.setattr(module, 'VENV', str(tmp_path / '.venv'))
    monkeypatch.setattr(module, 'STAMP', str(tmp_path / '.venv/complete'))
    # What an argument changes is put back after the test.
    for name in ('EXTRAS', 'CONSTRAINTS', 'DISK_GIB'):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setenv('MMCV_WITH_OPS', '1')
    monkeypatch.setattr(module.sys, 'argv', ['bootstrap.py'])
    for name in ('constraints.txt', 'constraints-onedl.txt', 'pyproject.toml'):
        (tmp_path / name).write_text('torch==2.14.1\n')
    (tmp_path / 'mmcv-lite-ops').mkdir()
    (tmp_path / 'mmcv-lite-ops/op.py').write_text('1\n')
    module.commands = []
    module.status = 0
    module.messages = ''

    def run(command, cwd=None, stderr=None):
        module.commands.append(command)
        if 'venv' in command:
            Path(command[-1]).mkdir()
        else:
            Path(command[0]).parents[1].joinpath('half').touch()
            # What pip leaves beside the sources that it builds.
            for made in ('build/lib', 'src/mmcv_lite_ops.egg-info'):
                (tmp_path / 'mmcv-lite-ops' / made).mkdir(parents=True, exist_ok=True)
                (tmp_path / 'mmcv-lite-ops' / made / 'file').write_text('made')
        if isinstance(module.status, BaseException):
            raise module.status
        if stderr is not None:
            stderr.write(module.messages)
        return SimpleNamespace(returncode=module.status if 'pip' in command else 0)

    # However full the disk is that the tests run on.
    monkeypatch.setattr(
        module.shutil, 'disk_usage', lambda _: SimpleNamespace(free=100 * 2**30)
    )
    # A download is what can't be had in a test.
    monkeypatch.setattr(module.subprocess, 'run', run)
    return module


def installs(bootstrap):
    return sum('pip' in command for command in bootstrap.commands)


def test_a_second_run_installs_nothing(bootstrap):
    bootstrap.main()
    bootstrap.main()
    assert installs(bootstrap) == 1


@pytest.mark.parametrize(
    'changed', ['constraints.txt', 'pyproject.toml', 'mmcv-lite-ops/op.py']
)
def test_a_change_of_what_is_to_be_installed_installs_again(
    bootstrap, changed, tmp_path
):
    bootstrap.main()
    (tmp_path / changed).write_text('2\n')
    bootstrap.main()
    bootstrap.main()
    assert installs(bootstrap) == 2
    assert (tmp_path / '.venv/half').exists()


@pytest.mark.parametrize('during', [KeyboardInterrupt(), OSError(28, 'No space left')])
def test_an_interrupted_installation_is_thrown_away_by_the_next(
    bootstrap, during, tmp_path
):
    bootstrap.status = during
    with pytest.raises(SystemExit, match='^error: '):
        bootstrap.main()
    assert not (tmp_path / '.venv/complete').exists()
    (tmp_path / '.venv/of_the_first_run').touch()
    bootstrap.status = 0
    bootstrap.main()
    assert (tmp_path / '.venv/complete').exists()
    assert not (tmp_path / '.venv/of_the_first_run').exists()


@pytest.mark.parametrize(
    ('messages', 'reason'),
    [
        (
            "WARNING: Retrying (Retry(total=4)) after connection broken by 'New"
            "ConnectionError(...)': /simple/torch/\nERROR: No matching distribution",
            'there is no network; with one, run `make` again: it goes on with what was '
            'downloaded',
        ),
        (
            'ERROR: Could not install packages due to an OSError: [Errno 28] No space '
            'left on device\n',
            'the disk is full; make room and run `make` again',
        ),
        (
            'WARNING: a\nERROR: Cannot install a and b\nERROR: ResolutionImpossible\n',
            'Cannot install a and b; fix that and run `make` again: it starts clean',
        ),
        (
            '',
            'it says nothing about why; fix that and run `make` again: it starts clean',
        ),
    ],
)
def test_a_failed_installation_is_one_line_and_leaves_nothing(
    bootstrap, tmp_path, messages, reason
):
    bootstrap.status, bootstrap.messages = 1, messages
    with pytest.raises(SystemExit) as ended:
        bootstrap.main()
    assert str(ended.value) == f'error: pip could not install the packages: {reason}.'
    assert not (tmp_path / '.venv').exists()


def test_onedl_has_an_environment_of_its_own(bootstrap, tmp_path, monkeypatch):
    monkeypatch.setattr(bootstrap.sys, 'argv', ['bootstrap.py', 'onedl'])
    bootstrap.main()
    create, install = bootstrap.commands
    assert create[-1] == str(tmp_path / '.venv-onedl')
    assert install[0] == str(tmp_path / '.venv-onedl/bin/python')
    assert install[install.index('--constraint') + 1] == 'constraints-onedl.txt'
    assert '.[onedl,weights,dev]' in install
    assert os.environ['MMCV_WITH_OPS'] == '0'


def test_docs_have_an_environment_without_the_project(
    bootstrap, tmp_path, monkeypatch, repo_root
):
    monkeypatch.setattr(bootstrap.sys, 'argv', ['bootstrap.py', 'docs'])
    text = (repo_root / 'pyproject.toml').read_text()
    (tmp_path / 'pyproject.toml').write_text(text)
    bootstrap.main()
    create, install = bootstrap.commands
    assert create[-1] == str(tmp_path / '.venv-docs')
    assert install[install.index('--constraint') + 1] == 'constraints.txt'
    wanted = install[install.index('constraints.txt') + 1 :]
    assert 'mkdocstrings[python]>=0.28' in wanted and len(wanted) == 4
    assert not any(word.startswith(('.', '--')) for word in wanted)


def test_too_little_disk_is_told_before_anything_is_made(bootstrap, monkeypatch):
    monkeypatch.setattr(
        bootstrap.shutil, 'disk_usage', lambda _: SimpleNamespace(free=3 * 2**30)
    )
    with pytest.raises(SystemExit, match='3.0 GiB free .* needs 10 GiB; make room'):
        bootstrap.main()
    assert bootstrap.commands == []


def test_an_old_python_is_told_what_to_write(bootstrap, monkeypatch):
    monkeypatch.setattr(bootstrap, 'MINIMUM', (99, 1))
    with pytest.raises(SystemExit, match='too old: 99.1 or newer .* `make PYTHON='):
        bootstrap.main()
    assert bootstrap.commands == []
