"""An environment that somebody has already: installed with pip, or named by PYTHONPATH.

The environment of the tests has this package installed, so each test makes one of its
own that sees all the libraries and not this package.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

CONFIG = 'configs/det/retinanet_timm-resnet10t_fpn_1xb8-14e_shapes.py'


@pytest.fixture
def clone(repo_root, tmp_path):
    """A copy to install from, with nothing of an earlier installation in it."""
    copy = tmp_path / 'clone'
    copy.mkdir()
    for name in ('plugin', 'configs'):
        shutil.copytree(repo_root / name, copy / name)
    for name in ('pyproject.toml', 'README.md', 'LICENSE'):
        shutil.copy(repo_root / name, copy)
    return copy


@pytest.fixture
def python(tmp_path, lighter):
    """The interpreter of a new environment, run with the arguments given."""
    folder = tmp_path / 'env'
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', folder], check=True)
    site_packages = next(folder.glob('lib/*/site-packages'))
    # A path file inside a folder that a path file adds is not read, so the libraries
    # are seen, and this package's own editable installation is not.
    libraries = Path(sysconfig.get_path('purelib'))
    (site_packages / 'libraries.pth').write_text(f'{libraries}\n')
    # By this one setuptools gives Python 3.12 the distutils that mmengine imports.
    shutil.copy(libraries / 'distutils-precedence.pth', site_packages)
    shutil.copy(Path(lighter, 'sitecustomize.py'), site_packages)

    def run(*args, cwd=tmp_path, pythonpath=None):
        env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
        if pythonpath:
            env['PYTHONPATH'] = str(pythonpath)
        return subprocess.run(
            [folder / 'bin/python', *map(str, args)],
            cwd=cwd,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return run


def train(python, clone, shapes, tmp_path, **kwargs):
    (tmp_path / 'data').mkdir()
    (tmp_path / 'data/shapes').symlink_to(shapes)
    done = python(
        *(Path(sys.executable).parent / 'mim', 'train', 'mmdet', clone / CONFIG),
        # 16 images in batches of 8: an epoch is two iterations.
        *('--work-dir', 'out', '--cfg-options', 'train_cfg.max_epochs=1'),
        *('default_hooks.logger.interval=1', 'default_hooks.checkpoint.interval=1'),
        **kwargs,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert '[1][2/2]' in done.stdout
    assert (tmp_path / 'out/epoch_1.pth').exists()


def where(python, **kwargs):
    code = 'import plugin; print(plugin.__file__)'
    return python('-c', code, **kwargs).stdout.splitlines()[-1]


@pytest.mark.slow
def test_mim_trains_with_nothing_but_pythonpath(python, clone, shapes, tmp_path):
    assert 'ModuleNotFoundError' in where(python)
    assert where(python, pythonpath=clone) == str(clone / 'plugin/__init__.py')
    train(python, clone, shapes, tmp_path, pythonpath=clone)


@pytest.mark.slow
def test_mim_trains_after_pip_install(python, clone, shapes, tmp_path):
    done = python(
        *('-m', 'pip', 'install', '--no-deps', '--no-build-isolation', '-e', clone)
    )
    assert done.returncode == 0, done.stdout
    assert where(python) == str(clone / 'plugin/__init__.py')
    train(python, clone, shapes, tmp_path)


@pytest.mark.slow
def test_a_wheel_runs_without_the_clone_and_leaves_nothing_behind(
    python, clone, tmp_path
):
    def files():
        found = tmp_path.joinpath('env').rglob('*')
        return {f for f in found if f.is_file() and f.suffix != '.pyc'}

    def pip(*args):
        done = python('-m', 'pip', *args)
        assert done.returncode == 0, done.stdout

    before = files()
    pip('wheel', '--no-deps', '--no-build-isolation', '-w', tmp_path / 'dist', clone)
    shutil.rmtree(clone)
    pip('install', '--no-deps', *tmp_path.glob('dist/*.whl'))
    assert 'site-packages' in where(python)
    command = ('-W', 'ignore', tmp_path / 'env/bin/mm-backbone')
    assert 'out_index' in python(*command, 'probe', 'timm:resnet10t').stdout
    base = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
    out = tmp_path / 'some/where/mine.py'
    done = python(*command, 'swap', base, 'timm:resnet10t', '-o', out)
    assert done.returncode == 0, done.stdout
    assert 'no problems' in python(*command, 'check', out).stdout
    pip('uninstall', '-y', 'mm-backbone-plugin')
    assert files() == before
