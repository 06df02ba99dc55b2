"""Environments in which one thing is wrong: it is found, alone, with what fixes it."""

import shutil
import subprocess
import sysconfig
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from plugin.doctor.known import KNOWN, OPENCV

EXTENSION = f'_ext{EXTENSION_SUFFIXES[0]}'


def statuses(document):
    return {name: finding['status'] for name, finding in document['wrong'].items()}


def fixes(document):
    return {finding['fix'] for finding in document['wrong'].values()}


def test_nothing_is_wrong_where_all_is_well(environment):
    document = environment.doctor()
    assert document['wrong'] == {}
    assert list(document) == ['findings', 'versions', 'operators', 'wrong']
    assert document['versions']['mmcv-lite'] == '2.0.1'
    assert document['versions']['transformers'] is None
    assert document['operators'] == dict(
        covered=['nms', 'roi_align'], missing=['nms_match']
    )
    names = [finding['name'] for finding in document['findings']]
    assert {'Python', 'CUDA', 'mmcv', 'mmyolo wants mmdet', 'plugin'} <= set(names)
    assert all(
        list(finding) == ['name', 'status', 'found', 'expected', 'fix']
        for finding in document['findings']
    )


def test_it_runs_beside_nothing_but_click_and_rich(bare):
    document = bare.doctor()
    assert statuses(document) == {
        **dict.fromkeys(['torch', 'torchvision', 'mmengine', 'numpy'], 'error'),
        **dict.fromkeys(['timm', 'safetensors'], 'warning'),
        **dict.fromkeys(['mmcv', 'OpenCV', 'setuptools'], 'error'),
    }
    assert document['wrong']['mmcv']['found'] == 'not installed'
    assert document['wrong']['mmcv']['fix'] == bare.lite()
    shown = bare.run()
    assert (shown.returncode, shown.stderr) == (1, '')


@pytest.mark.parametrize(
    ('version', 'wanting'),
    [
        ('2.2.0', ['mmdet', 'mmseg', 'mmyolo']),
        ('2.1.0', ['mmyolo']),
        ('2.0.0rc3', ['mmdet', 'mmseg', 'mmyolo', 'mmpretrain']),
        ('2.0.0rc4', ['mmpretrain']),
    ],
)
def test_an_mmcv_that_a_library_refuses(environment, version, wanting):
    environment.uninstall('mmcv-lite')
    environment.install('mmcv', version)
    environment.write('mmcv', version=f"__version__ = '{version}'\n")
    document = environment.doctor()
    assert statuses(document) == {f'{name} wants mmcv': 'error' for name in wanting}
    assert {finding['found'] for finding in document['wrong'].values()} == {version}
    assert fixes(document) == {
        f'{environment.pip} uninstall -y mmcv && {environment.lite()}'
    }
    if 'mmyolo' in wanting:
        expected = document['wrong']['mmyolo wants mmcv']['expected']
        assert expected == '>=2.0.0rc4,<2.1.0'


def test_the_files_of_mmcv_count_not_its_metadata(environment):
    environment.write('mmcv', version="__version__ = '2.2.0'\n")
    document = environment.doctor()
    assert document['wrong']['mmyolo wants mmcv']['found'] == '2.2.0'
    assert fixes(document) == {environment.lite()}


def test_an_mmdet_that_mmyolo_refuses(environment):
    environment.install('mmdet', '4.0.0')
    environment.write('mmdet', version="__version__ = '4.0.0'\n")
    document = environment.doctor()
    assert statuses(document) == {'mmdet': 'warning', 'mmyolo wants mmdet': 'error'}
    assert fixes(document) == {f"{environment.pip} install 'mmdet>=3.3,<3.4'"}


def test_mmyolo_without_mmdet(environment):
    environment.uninstall('mmdet', 'mmdet')
    document = environment.doctor()
    assert statuses(document) == {
        'mmyolo wants mmdet': 'error',
        'import mmyolo.models': 'error',
    }
    assert document['wrong']['mmyolo wants mmdet']['found'] == 'not installed'
    # The import fails for that reason, so that fixes both.
    assert fixes(document) == {f"{environment.pip} install 'mmdet>=3.3,<3.4'"}


def test_a_library_that_can_not_be_imported_is_named_with_the_reason(environment):
    environment.write(
        'mmdet',
        **{'models/__init__': "raise ImportError('libGL.so.1: no such\\nobject file')"},
    )
    document = environment.doctor()
    assert statuses(document) == {
        'import mmdet.models': 'error',
        'import mmyolo.models': 'error',
    }
    reason = 'ImportError: libGL.so.1: no such object file (mmdet/models/__init__.py)'
    assert {finding['found'] for finding in document['wrong'].values()} == {reason}
    (fix,) = fixes(document)
    assert fix == (
        f'cd {environment.clone} && {environment.pip} install -c constraints.txt -e '
        "'.[lite,det,seg,yolo,mmpretrain]' ./mmcv-lite-ops"
    )


def test_a_module_that_is_missing_is_what_to_install(environment):
    environment.write('mmpretrain', **{'models/__init__': 'import einops\n'})
    document = environment.doctor()
    assert statuses(document) == {'import mmpretrain.models': 'error'}
    assert fixes(document) == {f'{environment.pip} install einops'}


@pytest.mark.parametrize(
    ('module', 'fix'),
    [
        ('einops', 'install einops'),
        ('pkg_resources', "install 'setuptools<81'"),
        ('timm.models.layers', "install 'torch>=2.6' 'torchvision>=0.21'"),
    ],
)
def test_of_several_causes_the_one_of_the_module_is_mended(environment, module, fix):
    environment.install('torch', '2.5.1')
    environment.uninstall('no', 'pkg_resources')
    environment.write('timm')
    environment.write('mmpretrain', **{'models/__init__': f'import {module}\n'})
    document = environment.doctor()
    wrong = document['wrong']['import mmpretrain.models']
    assert wrong['fix'] == f'{environment.pip} {fix}'


def test_of_several_causes_the_librarys_own_gate_is_mended(environment):
    environment.install('torch', '2.5.1')
    environment.uninstall('mmdet', 'mmdet')
    wrong = environment.doctor()['wrong']['import mmyolo.models']
    assert wrong['fix'] == f"{environment.pip} install 'mmdet>=3.3,<3.4'"


def test_an_import_that_kills_the_interpreter_hides_no_other(environment):
    environment.write('mmseg', **{'models/__init__': 'import os; os.abort()\n'})
    environment.write('mmyolo', **{'models/__init__': "raise OSError('disk')\n"})
    document = environment.doctor()
    found = {name: finding['found'] for name, finding in document['wrong'].items()}
    assert found == {
        'import mmseg.models': 'the interpreter dies of SIGABRT',
        'import mmyolo.models': 'OSError: disk (mmyolo/models/__init__.py)',
    }


def test_transformers_beside_mmpretrain(environment):
    environment.install('transformers', '5.23.0')
    clash = "raise TypeError('unhashable type: list')\n"
    environment.write('mmpretrain', **{'models/__init__': clash})
    environment.write('mmdet', **{'models/__init__': 'import mmpretrain.models\n'})
    document = environment.doctor()
    assert statuses(document) == {
        'transformers': 'error',
        **{
            f'import {name}.models': 'error'
            for name in ('mmdet', 'mmyolo', 'mmpretrain')
        },
    }
    found = document['wrong']['transformers']['found']
    assert found.startswith('5.23.0, with which `import mmpretrain.models` fails')
    assert 'TypeError: unhashable type: list' in found
    assert fixes(document) == {f"{environment.pip} install 'transformers<4.52'"}


@pytest.mark.parametrize('version', ['4.27.4', '4.51.3', '5.23.0'])
def test_transformers_that_mmpretrain_imports_with_are_well(environment, version):
    environment.install('transformers', version)
    document = environment.doctor()
    assert document['wrong'] == {}
    found = {finding['name']: finding['found'] for finding in document['findings']}
    assert found['transformers'].startswith(version)
    # By the guard, which nothing here needs.
    left_out = (
        'the multimodal models of mmpretrain are left out' in found['transformers']
    )
    assert left_out is (version == '5.23.0')


def test_opencv_5_breaks_mmyolo(environment):
    environment.install('opencv-python', '5.0.0.90')
    environment.write('cv2', version="opencv_version = '5.0.0.90'\n")
    document = environment.doctor()
    assert statuses(document) == {'OpenCV': 'error'}
    assert '5.0.0.90' in document['wrong']['OpenCV']['found']
    assert fixes(document) == {f"{environment.pip} install 'opencv-python>=4.11,<5'"}
    environment.uninstall('mmyolo', 'mmyolo')
    assert statuses(environment.doctor()) == {'OpenCV': 'warning'}


def test_two_versions_of_opencv_in_one_folder(environment):
    environment.install('opencv-python-headless', '4.12.0.88')
    assert environment.doctor()['wrong'] == {}
    environment.install('opencv-python-headless', '4.10.0.84')
    document = environment.doctor()
    assert statuses(document) == {'OpenCV distributions': 'warning'}
    assert fixes(document) == {
        f'{environment.pip} install --force-reinstall --no-deps '
        "'opencv-python>=4.11,<5' 'opencv-python-headless>=4.11,<5'"
    }


def test_setuptools_without_pkg_resources(environment):
    environment.install('setuptools', '82.0.0')
    environment.uninstall('no', 'pkg_resources')
    document = environment.doctor()
    assert statuses(document) == {'setuptools': 'error'}
    assert document['wrong']['setuptools']['found'].startswith('82.0.0, without')
    assert fixes(document) == {f"{environment.pip} install 'setuptools<81'"}


@pytest.mark.skipif(
    not shutil.which('cc')
    or not Path(sysconfig.get_path('include'), 'Python.h').exists(),
    reason='needs a C compiler and the headers of Python',
)
def test_a_compiled_extension_that_loads_has_every_operator(environment):
    source = environment.folder / 'mmcv/_ext.c'
    source.write_text(COMPILED)
    headers = f'-I{sysconfig.get_path("include")}'
    out = str(source.with_name(EXTENSION))
    command = ['cc', '-shared', '-fPIC', headers, str(source), '-o', out]
    subprocess.run(command, check=True)
    environment.uninstall('mmcv-lite')
    environment.install('mmcv', '2.0.1')
    document = environment.doctor()
    assert document['wrong'] == {}
    found = {finding['name']: finding['found'] for finding in document['findings']}
    assert found['mmcv'] == f'full 2.0.1, compiled ({EXTENSION})'
    assert document['operators'] == dict(
        covered=['nms', 'nms_match', 'roi_align'], missing=[]
    )


COMPILED = """
#include <Python.h>
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_ext", NULL, -1, NULL};
PyMODINIT_FUNC PyInit__ext(void) { return PyModule_Create(&definition); }
"""


@pytest.mark.parametrize('kind', ['of a distribution', 'left behind'])
def test_a_compiled_extension_that_does_not_load(environment, kind):
    (environment.folder / 'mmcv' / EXTENSION).write_bytes(b'compiled for another torch')
    if kind == 'of a distribution':
        environment.uninstall('mmcv-lite')
        environment.install('mmcv', '2.0.1')
        remove = f'{environment.pip} uninstall -y mmcv'
    else:
        remove = f'rm {environment.folder}/mmcv/{EXTENSION}'
    document = environment.doctor()
    assert statuses(document) == {
        name: 'error'
        for name in ('mmcv', 'import mmdet.models', 'import mmyolo.models')
    }
    found = document['wrong']['mmcv']['found']
    assert found.startswith(f'a compiled {EXTENSION} that does not load')
    assert 'ImportError: ' in found
    assert fixes(document) == {f'{remove} && {environment.lite()}'}
    assert document['operators'] == dict(
        covered=[], missing=['nms', 'nms_match', 'roi_align']
    )


def test_an_mmcv_that_can_not_be_imported_is_not_blamed_on_its_extension(environment):
    (environment.folder / 'mmcv' / EXTENSION).write_bytes(b'')
    environment.write('mmcv', __init__='import cv3\n')
    wrong = environment.doctor()['wrong']
    assert 'mmcv' not in wrong
    assert "No module named 'cv3'" in wrong['import mmcv']['found']


def test_mmcv_lite_without_operators(environment):
    environment.uninstall('mmcv-lite-ops')
    (environment.folder / 'mmcv/_ext.py').unlink()
    document = environment.doctor()
    assert document['wrong']['mmcv']['found'] == (
        'lite 2.0.1 without mmcv._ext, so `import mmdet.models` fails'
    )
    assert document['wrong']['import mmdet.models']['status'] == 'error'
    assert fixes(document) == {environment.lite()}


def test_operators_without_mmcv_are_no_mmcv(environment):
    environment.uninstall('mmcv-lite')
    for name in ('__init__', 'version'):
        (environment.folder / f'mmcv/{name}.py').unlink()
    document = environment.doctor()
    assert document['wrong']['mmcv']['found'] == 'not installed'
    assert document['wrong']['mmcv']['fix'] == environment.lite()


def test_mmcv_and_mmcv_lite_in_one_folder(environment):
    environment.install('mmcv', '2.0.1')
    document = environment.doctor()
    assert statuses(document) == {'mmcv distributions': 'warning'}
    assert fixes(document) == {
        f'{environment.pip} uninstall -y mmcv-lite mmcv && {environment.lite()}'
    }


def test_a_torch_below_the_floor(environment):
    environment.install('torch', '2.5.1')
    document = environment.doctor()
    assert statuses(document) == {'torch': 'error'}
    assert document['wrong']['torch']['expected'].startswith('>=2.6 for ')
    assert fixes(document) == {
        f"{environment.pip} install 'torch>=2.6' 'torchvision>=0.21'"
    }


def test_a_torch_that_can_not_be_imported(environment):
    environment.write('torch', __init__="raise OSError('libcudart.so.13: not found')")
    document = environment.doctor()
    assert statuses(document) == {'import torch': 'error'}
    assert document['wrong']['import torch']['found'].startswith('OSError: libcudart')


def test_a_torchvision_of_another_torch(environment):
    environment.install('torchvision', '0.23.0', 'numpy', 'torch (==2.8.0)')
    document = environment.doctor()
    assert statuses(document) == {'torchvision wants torch': 'error'}
    environment.install('torch', '2.8.0+cu129')
    assert environment.doctor()['wrong'] == {}


def test_a_driver_without_a_gpu_that_torch_can_use(environment, tmp_path):
    environment.write('torch', __init__=TORCH_ON_CPU)
    (tmp_path / 'nvidia').mkdir()
    (tmp_path / 'nvidia/nvidia-smi').write_text('#!/bin/sh\n')
    (tmp_path / 'nvidia/nvidia-smi').chmod(0o755)
    environment.path.append(str(tmp_path / 'nvidia'))
    document = environment.doctor()
    assert statuses(document) == {'CUDA': 'warning'}
    assert 'built for the CPU only' in document['wrong']['CUDA']['found']
    environment.write('torch', __init__=TORCH_ON_CPU.replace('0', '2'))
    assert environment.doctor()['wrong'] == {}


TORCH_ON_CPU = """
class version:
    cuda = None
class cuda:
    device_count = staticmethod(lambda: 0)
"""


@pytest.mark.parametrize(
    ('name', 'version', 'status', 'fix'),
    [
        ('mmengine', '0.9.1', 'error', "'mmengine>=0.10.6,<0.11'"),
        ('mmengine', '0.11.0', 'error', "'mmengine>=0.10.6,<0.11'"),
        ('numpy', None, 'error', "'numpy>=1.24.4'"),
        ('timm', '0.9.16', 'warning', "'timm>=1.0.30'"),
        ('timm', None, 'warning', "'timm>=1.0.30'"),
        ('mmpretrain', '1.1.0', 'warning', "'mmpretrain>=1.2,<1.3'"),
        ('albumentations', None, 'warning', "'albumentations>=2.0.8,<2.1'"),
        ('albumentations', '1.4.0', 'warning', "'albumentations>=2.0.8,<2.1'"),
        ('ftfy', None, 'error', 'ftfy'),
        ('openmim', None, 'warning', "'openmim>=0.3.9'"),
    ],
)
def test_a_distribution_that_is_missing_or_of_another_version(
    environment, name, version, status, fix
):
    environment.uninstall(name)
    if version:
        environment.install(name, version)
    document = environment.doctor()
    assert statuses(document) == {name: status}
    assert document['wrong'][name]['found'] == (version or 'not installed')
    assert fixes(document) == {f'{environment.pip} install {fix}'}


def test_a_damaged_distribution_is_passed_over(environment):
    (environment.folder / 'broken-1.0.dist-info').mkdir()
    (environment.folder / 'torn-1.0.dist-info').mkdir()
    (environment.folder / 'torn-1.0.dist-info/METADATA').write_bytes(b'\xff\xfe\x00')
    assert environment.doctor()['wrong'] == {}


def test_a_mim_of_another_environment(environment, tmp_path):
    other = tmp_path / 'other'
    other.mkdir()
    (other / 'mim').write_text('#!/opt/conda/bin/python3.11\n')
    (other / 'mim').chmod(0o755)
    environment.path.insert(0, str(other))
    document = environment.doctor()
    assert statuses(document) == {'mim': 'error'}
    assert '/opt/conda/bin/python3.11' in document['wrong']['mim']['found']
    assert fixes(document) == {f'export PATH={environment.bin}:"$PATH"'}


def test_no_mim_on_path(environment):
    environment.path.remove(str(environment.bin))
    document = environment.doctor()
    assert statuses(document) == {'mim': 'warning'}
    assert fixes(document) == {f'export PATH={environment.bin}:"$PATH"'}


def test_a_plugin_that_only_its_own_folder_shows(environment):
    environment.pythonpath.remove(str(environment.clone))
    environment.cwd = environment.clone
    document = environment.doctor()
    assert statuses(document) == {'plugin': 'warning'}
    assert fixes(document) == {f'export PYTHONPATH={environment.clone}:"$PYTHONPATH"'}


def test_another_copy_of_the_plugin_that_a_training_would_take(environment, tmp_path):
    other = tmp_path / 'other'
    shutil.copytree(environment.clone / 'plugin', other / 'plugin')
    environment.pythonpath[-1] = str(other)
    environment.cwd = environment.clone
    document = environment.doctor()
    assert statuses(document) == {'plugin': 'warning'}
    assert document['wrong']['plugin']['found'] == f'{other} is imported in training'


def test_the_versions_are_those_of_pyproject(repo_root):
    tomllib = pytest.importorskip('tomllib', reason='Python 3.11 has it')

    project = tomllib.loads((repo_root / 'pyproject.toml').read_text())['project']
    written = [Requirement(line) for line in project['dependencies']]
    for lines in project['optional-dependencies'].values():
        written += [Requirement(line) for line in lines]
    versions = {}
    for one in written:
        versions.setdefault(one.name, set()).add(one.specifier)
    for name, known in KNOWN.items():
        if name not in OPENCV[1:]:
            assert versions[name] == {SpecifierSet(known.versions)}, name
