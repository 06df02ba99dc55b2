"""Environments that don't exist: packages of a few lines in a folder, and no others.

``environment`` is a :class:`FakeEnvironment` in which all is well; a test changes it
and asks ``doctor()``, which runs the command by an interpreter that sees nothing but
this folder, click, packaging and rich.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

# What the command itself imports.
COMMAND_LINE = ('click', 'packaging', 'rich', 'pygments', 'markdown_it', 'mdurl')

GATES = """
import mmcv
mmcv_minimum_version = '{mmcv[0]}'
mmcv_maximum_version = '{mmcv[1]}'
mmengine_minimum_version = '0.7.1'
mmengine_maximum_version = '1.0.0'
"""
MMSEG_GATES = """
import mmcv
MMCV_MIN = '2.0.0rc4'
MMCV_MAX = '2.2.0'
MMENGINE_MIN = '0.5.0'
MMENGINE_MAX = '1.0.0'
mmcv_min_version = tuple(MMCV_MIN)
"""
TORCH = """
class version:
    cuda = '13.0'
class cuda:
    device_count = staticmethod(lambda: 0)
"""
EXT = "__all__ = ['get_compiler_version', 'nms', 'roi_align_forward']\n"
OPS = """
from ..utils import ext_loader
ext_module = ext_loader.load_ext('_ext', ['nms', 'nms_match'])
ext_module = ext_loader.load_ext(
    '_ext', ['roi_align_forward', 'roi_align_backward', 'get_compiler_version'])
"""
DISTRIBUTIONS = {
    'torch': '2.9.0',
    'torchvision': '0.24.0',
    'numpy': '2.3.0',
    'mmengine': '0.10.7',
    'mmcv-lite': '2.0.1',
    'mmcv-lite-ops': '0.1.0',
    'mmdet': '3.3.0',
    'mmsegmentation': '1.2.2',
    'mmyolo': '0.6.0',
    'mmpretrain': '1.2.0',
    'timm': '1.0.31',
    'safetensors': '0.6.0',
    'opencv-python': '4.12.0.88',
    'setuptools': '80.9.0',
    'ftfy': '6.3.1',
    'regex': '2025.9.1',
    'albumentations': '2.0.8',
    'openmim': '0.3.9',
}
MODULES = {
    'torch': {'__init__': TORCH},
    'mmengine': {'version': "__version__ = '0.10.7'\n"},
    'mmcv': {'version': "__version__ = '2.0.1'\n", '_ext': EXT, 'ops/nms': OPS},
    'mmdet': {
        '__init__': GATES.format(mmcv=('2.0.0rc4', '2.2.0')),
        'version': "__version__ = '3.3.0'\n",
        'models/__init__': 'import mmcv._ext\n',
    },
    'mmseg': {
        '__init__': MMSEG_GATES,
        'version': "__version__ = '1.2.2'\n",
        'models/__init__': 'import ftfy, regex\n',
    },
    'mmyolo': {
        '__init__': GATES.format(mmcv=('2.0.0rc4', '2.1.0'))
        + "mmdet_minimum_version = '3.0.0'\nmmdet_maximum_version = '4.0.0'\n",
        'models/__init__': 'import mmdet.models\n',
    },
    'mmpretrain': {
        '__init__': GATES.format(mmcv=('2.0.0', '2.4.0')),
        'version': "__version__ = '1.2.0'\n",
        'models/__init__': '',
    },
    'cv2': {'version': "opencv_version = '4.12.0.88'\n"},
    'mim': {},
    'pkg_resources': {},
    'ftfy': {},
    'regex': {},
}


# What onedl's packages are called, and the files that tell them from OpenMMLab's.
ONEDL = {
    'mmengine': ('onedl-mmengine', '0.10.12', 'mmengine'),
    'mmcv-lite': ('onedl-mmcv', '2.3.6', 'mmcv'),
    'mmdet': ('onedl-mmdetection', '3.5.1', 'mmdet'),
    'mmsegmentation': ('onedl-mmsegmentation', '1.4.2', 'mmseg'),
    'mmpretrain': ('onedl-mmpretrain', '1.3.6', 'mmpretrain'),
    'openmim': ('onedl-mim', '0.5.1', 'mim'),
}
ONEDL_REQUIRES = {
    'onedl-mmdetection': [
        'numpy',
        'onedl-mmcv>=2.0.0; extra == "mminstall"',
        'onedl-mmengine>=0.8.3,<1.0.0; extra == "mminstall"',
    ],
    'onedl-mmsegmentation': ['onedl-mmcv; extra == "mminstall"'],
}
FOLDERS = {old: folder for old, (_, _, folder) in ONEDL.items()}
FOLDERS |= {new: folder for new, _, folder in ONEDL.values()}
FOLDERS |= {'mmcv': 'mmcv', 'mmyolo': 'mmyolo'}


class FakeEnvironment:
    """A folder of packages, and an interpreter that sees it.

    Attributes:
        folder: Where the packages lie.
        bin: The folder of the interpreter and of ``mim``.
        path: ``PATH``.
        pythonpath: ``PYTHONPATH``.
        cwd: Where the command is run.
    """

    def __init__(self, folder: Path, venv: Path, clone: Path) -> None:
        self.folder = folder
        self.clone = clone
        self.bin = venv / 'bin'
        self.path = [str(self.bin), '/usr/bin', '/bin']
        self.pythonpath = [str(folder), str(clone)]
        self.cwd = folder.parent
        purelib = Path(sysconfig.get_path('purelib'))
        for name in COMMAND_LINE:
            (folder / name).symlink_to(purelib / name)

    def fill(self) -> None:
        """Install everything in a version that works with the others."""
        for name, version in DISTRIBUTIONS.items():
            self.install(name, version)
        for name, files in MODULES.items():
            self.write(name, **files)

    def fill_with_onedl(self) -> None:
        """Install everything of onedl's, and nothing of OpenMMLab's own."""
        self.fill()
        self.uninstall('mmyolo', 'mmyolo')
        self.uninstall('setuptools', 'pkg_resources')
        self.install('setuptools', '82.0.0')
        for old in ONEDL:
            self.uninstall(old)
            self.onedl_over(old)

    def onedl_over(self, old: str) -> None:
        """Write one package of onedl's over what is there."""
        name, version, folder = ONEDL[old]
        self.install(name, version, *ONEDL_REQUIRES.get(name, ()))
        text = (
            f"from importlib.metadata import version\n__version__ = version('{name}')\n"
        )
        files = {'version': text}
        if folder in ('mmdet', 'mmseg'):
            files['__init__'] = ''  # No gates in there.
        self.write(folder, **files)

    def install(self, name: str, version: str, *requires: str) -> None:
        """Write the metadata of a distribution, in place of another version of it."""
        self.uninstall(name)
        info = self.folder / f'{name.replace("-", "_")}-{version}.dist-info'
        info.mkdir()
        lines = ['Metadata-Version: 2.1', f'Name: {name}', f'Version: {version}']
        lines += [f'Requires-Dist: {requirement}' for requirement in requires]
        (info / 'METADATA').write_text('\n'.join(lines) + '\n')

    def uninstall(self, name: str, *modules: str) -> None:
        """Take the metadata of a distribution away, and these packages."""
        for info in self.folder.glob(f'{name.replace("-", "_")}-*.dist-info'):
            shutil.rmtree(info)
        for module in modules:
            shutil.rmtree(self.folder / module)

    def write(self, package: str, **files: str) -> None:
        """Write source files of a package, by their path in it without the ending."""
        for name, text in {'__init__': '', **files}.items():
            file = self.folder / package / f'{name}.py'
            file.parent.mkdir(parents=True, exist_ok=True)
            if name in files or not file.exists():
                file.write_text(text)

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run the command."""
        return self.python('-m', 'plugin', 'doctor', *args)

    def python(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run the interpreter."""
        return subprocess.run(
            [self.bin / 'python', *args],
            cwd=self.cwd,
            env={
                'PATH': os.pathsep.join(self.path),
                'PYTHONPATH': os.pathsep.join(self.pythonpath),
                'PYTHONDONTWRITEBYTECODE': '1',
            },
            capture_output=True,
            text=True,
        )

    def doctor(self) -> dict:
        """Return the command's document, with what is wrong by name in ``wrong``."""
        done = self.run('--json')
        assert done.stderr == ''
        document = json.loads(done.stdout)
        wrong = [f for f in document['findings'] if f['status'] != 'ok']
        for finding in wrong:
            self._assert_writes_over_nothing(finding['fix'])
        breaks = any(finding['status'] == 'error' for finding in wrong)
        assert done.returncode == int(breaks)
        return {**document, 'wrong': {finding['name']: finding for finding in wrong}}

    def _assert_writes_over_nothing(self, fix: str) -> None:
        """Check that a command installs nothing into another distribution's folder."""
        there = {p.name.split('-')[0] for p in self.folder.glob('*.dist-info')}
        there = {name.replace('_', '-') for name in there}
        for command in fix.split(' && '):
            words = shlex.split(command)
            if 'uninstall' in words:
                there -= set(words)
            if 'install' in words:
                names = {re.split('[<>=[]', word)[0] for word in words}
                for name in names & set(FOLDERS):
                    same = {n for n in there if FOLDERS.get(n) == FOLDERS[name]}
                    assert same <= {name}, f'{command} writes over {same}'
                    there.add(name)

    def lite(self) -> str:
        """Return the command that installs mmcv-lite with our operators."""
        return f"{self.pip} install 'mmcv-lite>=2.0.1,<2.1' {self.clone}/mmcv-lite-ops"

    @property
    def pip(self) -> str:
        return f'{self.bin}/python -m pip'


@pytest.fixture(scope='session')
def bare_venv(tmp_path_factory) -> Path:
    venv = tmp_path_factory.mktemp('venv') / 'env'
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', venv], check=True)
    mim = venv / 'bin/mim'
    mim.write_text(f'#!{venv}/bin/python\n')
    mim.chmod(0o755)
    return venv


@pytest.fixture
def bare(tmp_path, bare_venv, repo_root) -> FakeEnvironment:
    """Make an environment with click, packaging and rich, and nothing else."""
    folder = tmp_path / 'packages'
    folder.mkdir()
    return FakeEnvironment(folder, bare_venv, repo_root)


@pytest.fixture
def onedl(bare) -> FakeEnvironment:
    """Make an environment of onedl's packages in which all is well."""
    bare.fill_with_onedl()
    return bare


@pytest.fixture
def environment(bare) -> FakeEnvironment:
    """Make an environment in which all is well."""
    bare.fill()
    return bare
