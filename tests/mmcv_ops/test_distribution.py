"""The distribution mmcv-lite-ops: what it installs, and that a full mmcv wins."""

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from email.parser import Parser
from importlib.machinery import (
    EXTENSION_SUFFIXES,
    ExtensionFileLoader,
    PathFinder,
    SourceFileLoader,
)
from pathlib import Path

import mmcv
import pytest
from packaging.requirements import Requirement

STAND_IN = """
#include <Python.h>
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_ext", NULL, -1, NULL};
PyMODINIT_FUNC PyInit__ext(void) {
    PyObject *module = PyModule_Create(&definition);
    PyModule_AddStringConstant(module, "made_by", "a compiler");
    return module;
}
"""


@pytest.fixture(scope='module')
def wheel(repo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp('wheel')
    # A build leaves files in its folder, and takes up those of an earlier one.
    source = shutil.copytree(
        repo_root / 'mmcv-lite-ops',
        folder / 'source',
        ignore=shutil.ignore_patterns('build', '*.egg-info', '__pycache__'),
    )
    options = ['--no-deps', '--no-build-isolation', '--no-index', '-w', folder]
    command = [sys.executable, '-m', 'pip', 'wheel', '-q', *options, source]
    subprocess.run([str(part) for part in command], check=True)
    (path,) = folder.glob('mmcv_lite_ops-*.whl')
    return zipfile.ZipFile(path)


@pytest.fixture
def overlaid(tmp_path: Path) -> Path:
    """A folder for ``PYTHONPATH`` with an empty ``mmcv`` and the overlay in it."""
    package = tmp_path / 'mmcv'
    package.mkdir()
    (package / '__init__.py').touch()
    for name in ('_ext.py', '_ext_ops'):
        (package / name).symlink_to(Path(mmcv.__file__).with_name(name))
    return tmp_path


def run_python(code: str, pythonpath: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-c', code],
        env={'PYTHONPATH': str(pythonpath), 'PYTHONDONTWRITEBYTECODE': '1'},
        capture_output=True,
        text=True,
    )


def test_the_wheel_holds_the_overlay_and_nothing_of_mmcvs_own(wheel, repo_root):
    source = repo_root / 'mmcv-lite-ops' / 'src'
    ours = {p.relative_to(source).as_posix() for p in source.rglob('*.py')}
    installed = {name for name in wheel.namelist() if '.dist-info/' not in name}
    assert installed == ours
    assert 'mmcv/_ext.py' in installed
    others = installed - {'mmcv/_ext.py'}
    assert all(name.startswith('mmcv/_ext_ops/') for name in others)


def test_the_installed_overlay_is_that_of_this_clone(wheel):
    site = Path(mmcv.__file__).parents[1]
    for name in wheel.namelist():
        if '.dist-info/' not in name:
            assert (site / name).read_bytes() == wheel.read(name), (
                'run pip install --no-deps ./mmcv-lite-ops'
            )


def test_the_wheel_requires_neither_mmcv_nor_mmcv_lite(wheel):
    (name,) = (n for n in wheel.namelist() if n.endswith('.dist-info/METADATA'))
    metadata = Parser().parsestr(wheel.read(name).decode())
    required = {Requirement(r).name for r in metadata.get_all('Requires-Dist')}
    assert required == {'numpy', 'torch', 'torchvision'}


@pytest.mark.parametrize('suffix', EXTENSION_SUFFIXES)
def test_python_prefers_a_compiled_ext_in_the_same_folder(tmp_path, suffix):
    (tmp_path / '_ext.py').touch()
    alone = PathFinder.find_spec('_ext', [str(tmp_path)])
    assert isinstance(alone.loader, SourceFileLoader)
    folder = tmp_path / 'beside'
    folder.mkdir()
    (folder / '_ext.py').touch()
    (folder / f'_ext{suffix}').touch()
    both = PathFinder.find_spec('_ext', [str(folder)])
    assert isinstance(both.loader, ExtensionFileLoader)


def test_a_broken_compiled_ext_raises_instead_of_falling_back(overlaid):
    broken = overlaid / 'mmcv' / f'_ext{EXTENSION_SUFFIXES[0]}'
    broken.write_text('not a library')
    result = run_python('import mmcv._ext', overlaid)
    assert result.returncode == 1
    assert 'ImportError' in result.stderr and broken.name in result.stderr


@pytest.mark.skipif(
    not shutil.which('cc')
    or not Path(sysconfig.get_path('include'), 'Python.h').exists(),
    reason='needs a C compiler and the headers of Python',
)
def test_a_compiled_ext_wins_over_the_overlay(overlaid):
    library = overlaid / 'mmcv' / f'_ext{EXTENSION_SUFFIXES[0]}'
    source = overlaid / 'stand_in.c'
    source.write_text(STAND_IN)
    headers = f'-I{sysconfig.get_path("include")}'
    command = ['cc', '-shared', '-fPIC', headers, str(source), '-o', str(library)]
    subprocess.run(command, check=True)
    code = 'import mmcv._ext as e; print(e.__file__, e.made_by)'
    result = run_python(code, overlaid)
    assert result.stdout.split(maxsplit=1) == [str(library), 'a compiler\n']


def test_the_overlay_is_not_importable_from_the_root_of_the_repo(repo_root):
    assert PathFinder.find_spec('mmcv', [str(repo_root)]) is None
