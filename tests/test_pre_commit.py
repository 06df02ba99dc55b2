"""Another repository checks its changed configs by the hook, with the four lines."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

RETINANET = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'


def git(folder, *args):
    identity = ['-c', 'user.name=a', '-c', 'user.email=a@example.org']
    done = subprocess.run(
        ['git', *identity, *args],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip()


def committed(folder):
    git(folder, 'init', '-q')
    git(folder, 'add', '-A')
    git(folder, 'commit', '-qm', 'all')
    return git(folder, 'rev-parse', 'HEAD')


@pytest.fixture
def run(tmp_path, repo_root, warm_python):
    """Run the hook over a repository whose one config has this text."""
    for name in ('git', 'pre-commit'):
        if (
            shutil.which(name, path=f'{Path(sys.executable).parent}:{os.defpath}')
            is None
        ):
            pytest.skip(f'needs {name}')
    ours, theirs = tmp_path / 'ours', tmp_path / 'theirs'
    ours.mkdir()
    (theirs / 'configs/_base_').mkdir(parents=True)
    shutil.copy(repo_root / '.pre-commit-hooks.yaml', ours)
    revision = committed(ours)
    docs = (repo_root / 'docs/commands.md').read_text()
    lines = re.search(r'```yaml\n(repos:\n(?:.*\n){3})```', docs)[1]
    lines = re.sub(r'(repo: ).*', rf'\g<1>{ours}', lines)
    (theirs / '.pre-commit-config.yaml').write_text(
        re.sub(r'(rev: ).*', rf'\g<1>{revision}', lines)
    )

    def hook(text):
        (theirs / 'configs/my.py').write_text(text)
        # Neither a config nor a piece of one is given to the hook.
        (theirs / 'setup.py').write_text('raise SystemExit("run")\n')
        (theirs / 'configs/_base_/piece.py').write_text('x = (\n')
        committed(theirs)
        # The hook is a `python`.
        folders = [str(Path(python).parent) for python in (warm_python, sys.executable)]
        return subprocess.run(
            ['pre-commit', 'run', '--all-files'],
            cwd=theirs,
            env={
                **os.environ,
                'PATH': os.pathsep.join([*folders, os.environ['PATH']]),
                'PYTHONPATH': str(repo_root),
                'PRE_COMMIT_HOME': str(tmp_path / 'cache'),
            },
            capture_output=True,
            text=True,
        )

    return hook


def test_a_config_that_is_wrong_stops_the_commit(run):
    wrong = f'_base_ = {RETINANET!r}\nmodel = dict(neck=dict(in_channels=[1, 2]))\n'
    done = run(wrong)
    assert done.returncode == 1
    assert 'configs/my.py:2:24: error: ' in done.stdout, done.stdout + done.stderr


def test_one_that_is_right_does_not(run):
    done = run(f'_base_ = {RETINANET!r}\n')
    assert done.returncode == 0, done.stdout + done.stderr
