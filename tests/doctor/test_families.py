"""onedl's packages, which have the import names and the folders of OpenMMLab's."""

import shutil
import subprocess
from pathlib import Path

import pytest

OPS = 'mmcv-lite-ops'
MMSEG_GATES = "MMCV_MIN = '2.0.0rc4'\nMMCV_MAX = '2.2.0'\n"


def statuses(document):
    return {name: finding['status'] for name, finding in document['wrong'].items()}


def fixes(document):
    return {finding['fix'] for finding in document['wrong'].values()}


def mmcv(environment):
    return (
        f"MMCV_WITH_OPS=0 {environment.pip} install 'onedl-mmcv>=2.3.6,<2.4' "
        f'{environment.clone}/{OPS}'
    )


def test_onedl_is_judged_by_its_own_bounds(onedl):
    onedl.uninstall('onedl-mmsegmentation', 'mmseg')
    document = onedl.doctor()
    assert document['wrong'] == {}
    found = {f['name']: (f['found'], f['expected']) for f in document['findings']}
    assert found['onedl-mmengine'] == ('0.10.12', '>=0.10.12,<0.11')
    assert found['onedl-mmdetection'] == ('3.5.1', '>=3.5.1,<3.6')
    assert found['onedl-mim'] == ('0.5.1', '>=0.5.1')
    assert found['mmcv'] == ('onedl-mmcv 2.3.6 with mmcv-lite-ops 0.1.0', None)
    # From the metadata of its mmdet, and from the sources of its mmpretrain.
    assert found['mmdet wants mmcv'] == ('2.3.6', '>=2.0.0')
    assert found['mmdet wants mmengine'] == ('0.10.12', '<1.0.0,>=0.8.3')
    assert found['mmpretrain wants mmcv'] == ('2.3.6', '>=2.0.0,<2.4.0')
    assert 'mim train onedl-mmdetection CONFIG' in found['mim train'][0]
    # It has no pkg_resources, and nothing here wants it.
    assert not {'setuptools', 'mmengine', 'mmdet', 'openmim'} & set(found)


def test_a_name_in_base_that_mmengine_does_not_find_is_reported(onedl, tmp_path):
    configs = onedl.folder / 'mmseg/.mim/configs/upernet'
    configs.mkdir(parents=True)
    (configs / 'upernet_r50.py').touch()
    document = onedl.doctor()
    assert statuses(document) == {'mmseg:: in _base_': 'warning'}
    config = tmp_path / 'my.py'
    config.write_text("_base_ = ['mmseg::upernet/upernet_r50.py']\n")
    # As it is printed, with the place of the config put in.
    (fix,) = fixes(document)
    subprocess.run(fix.replace('CONFIG', str(config)), shell=True, check=True)
    (base,) = eval(config.read_text().partition('=')[2])
    assert Path(base) == configs / 'upernet_r50.py'


@pytest.mark.parametrize(
    ('name', 'folder', 'versions'),
    [
        ('onedl-mmengine', 'mmengine', '>=0.10.12,<0.11'),
        ('onedl-mim', 'mim', '>=0.5.1'),
    ],
)
def test_what_is_missing_is_named_as_onedl_names_it(onedl, name, folder, versions):
    onedl.uninstall(name, folder)
    wrong = onedl.doctor()['wrong'][name]
    assert wrong['fix'] == f"{onedl.pip} install '{name}{versions}'"


def test_an_mmcv_of_onedl_without_operators(onedl):
    (onedl.folder / 'mmcv/_ext.py').unlink()
    document = onedl.doctor()
    assert document['wrong']['mmcv']['found'].startswith('onedl-mmcv 2.3.6 without')
    assert document['wrong']['mmcv']['fix'] == mmcv(onedl)


def test_no_mmcv_beside_onedl(onedl):
    shutil.rmtree(onedl.folder / 'mmcv')
    onedl.uninstall('onedl-mmcv')
    document = onedl.doctor()
    assert document['wrong']['mmcv']['found'] == 'not installed'
    assert document['wrong']['mmcv']['fix'] == mmcv(onedl)


def test_mmyolo_does_not_work_beside_onedl(environment, onedl):
    onedl.uninstall('onedl-mmsegmentation', 'mmseg')
    onedl.install('mmyolo', '0.6.0')
    onedl.write('mmyolo', __init__="mmcv_maximum_version = '2.1.0'\n")
    wrong = onedl.doctor()['wrong']['mmyolo wants mmcv']
    assert (wrong['found'], wrong['expected']) == ('2.3.6', '<2.1.0')
    assert wrong['fix'] == f'{onedl.pip} uninstall -y mmyolo'


def test_onedl_written_over_openmmlab(environment):
    for old in ('mmengine', 'mmdet'):
        environment.onedl_over(old)
    document = environment.doctor()
    assert {n for n in statuses(document) if 'distributions' in n} == {
        'mmengine distributions',
        'mmdet distributions',
    }
    assert document['wrong']['mmdet distributions']['found'] == (
        'mmdet 3.3.0 and onedl-mmdetection 3.5.1, which write into one folder; the '
        'files there are of onedl-mmdetection'
    )
    assert document['wrong']['mmdet distributions']['fix'] == (
        f'{environment.pip} uninstall -y mmengine onedl-mmengine mmdet '
        f'onedl-mmdetection && {environment.pip} install '
        "'onedl-mmengine>=0.10.12,<0.11' 'onedl-mmdetection>=3.5.1,<3.6'"
    )


def test_openmmlab_written_over_onedl(onedl):
    onedl.uninstall('onedl-mmsegmentation', 'mmseg')
    onedl.install('mmcv-lite', '2.0.1')
    onedl.write('mmcv', version="__version__ = '2.0.1'\n")
    document = onedl.doctor()
    assert statuses(document) == {'mmcv distributions': 'warning'}
    found = document['wrong']['mmcv distributions']['found']
    assert found.endswith('the files there are of mmcv-lite')
    # The rest is onedl's, so that is what stays.
    assert fixes(document) == {
        f'{onedl.pip} uninstall -y mmcv-lite onedl-mmcv && {mmcv(onedl)}'
    }


def test_a_library_of_the_other_family(onedl):
    onedl.uninstall('onedl-mmsegmentation')
    onedl.install('mmsegmentation', '1.2.2')
    onedl.write('mmseg', __init__=MMSEG_GATES, version="__version__ = '1.2.2'\n")
    wrong = onedl.doctor()['wrong']['mmseg wants mmcv']
    assert (wrong['found'], wrong['expected']) == ('2.3.6', '>=2.0.0rc4,<2.2.0')
    assert wrong['fix'] == (
        f'{onedl.pip} uninstall -y mmsegmentation && '
        f"{onedl.pip} install 'onedl-mmsegmentation>=1.4.2,<1.5'"
    )


def test_files_that_uninstalling_the_other_took_along(environment):
    for name in ('__init__', 'version'):
        (environment.folder / f'mmdet/{name}.py').unlink()
    environment.install('mmdet', '3.3.0')
    document = environment.doctor()
    assert statuses(document) == {'mmdet files': 'error'}
    assert document['wrong']['mmdet files']['found'].startswith(
        'missing, although pip lists mmdet 3.3.0'
    )
    assert document['wrong']['mmdet files']['fix'] == (
        f"{environment.pip} install --force-reinstall --no-deps 'mmdet>=3.3,<3.4'"
    )


def test_files_gone_while_both_are_installed(environment):
    environment.onedl_over('openmim')
    (environment.folder / 'mim/__init__.py').unlink()
    document = environment.doctor()
    assert document['wrong']['mim files']['fix'] == (
        f'{environment.pip} uninstall -y openmim onedl-mim && '
        f"{environment.pip} install 'openmim>=0.3.9'"
    )


def test_a_distribution_of_another_name_is_known_by_its_files(environment):
    environment.uninstall('mmdet')
    environment.install('my-mmdet', '3.3.0')
    info = environment.folder / 'my_mmdet-3.3.0.dist-info'
    (info / 'top_level.txt').write_text('mmdet\n')
    assert environment.doctor()['wrong'] == {}
    environment.install('mmdet', '3.3.0')
    document = environment.doctor()
    assert statuses(document) == {'mmdet distributions': 'warning'}
    assert (
        'my-mmdet 3.3.0 and mmdet 3.3.0'
        in (document['wrong']['mmdet distributions']['found'])
    )


@pytest.mark.parametrize('task', ['det', 'seg', 'yolo', 'cls'])
def test_without_mmengine_the_import_says_what_to_ask(bare, task):
    done = bare.python('-c', f'import plugin.{task}')
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: No module named 'mmengine'; `python -m plugin doctor` "
        'says what to install'
    )


def test_without_mmengine_a_command_is_one_line(bare):
    done = bare.python('-m', 'plugin', 'check', 'my.py')
    assert (done.returncode, done.stderr) == (
        2,
        "Error: No module named 'mmengine'; `python -m plugin doctor` says what to "
        'install\n',
    )
