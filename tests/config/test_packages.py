"""Packages whose configs are inherited from are searched for once, and no staler."""

import os

import pytest
from mmengine.config import Config, config, utils

from plugin.config.packages import of_a_package, searched_once

INHERITS = "_base_ = 'toy::toy/toy_config.py'\n"


def write(folder):
    """Write a package ``toy`` with one config and a metafile that lists it."""
    mim = folder / 'toy/.mim'
    (mim / 'configs/toy').mkdir(parents=True)
    (folder / 'toy/__init__.py').touch()
    (mim / 'configs/toy/toy_config.py').write_text(f'where = {folder.name!r}\n')
    (mim / 'model-index.yml').write_text('Import: [metafile.yml]\n')
    (mim / 'metafile.yml').write_text('Models: [{Config: configs/toy/other.py}]\n')
    return folder


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    monkeypatch.setitem(utils.MODULE2PACKAGE, 'toy', 'toy')

    def load():
        path = tmp_path / 'inherits.py'
        path.write_text(INHERITS)
        with searched_once():
            return Config.fromfile(str(path)).where

    return load


def test_metafiles_are_read_once(tmp_path, monkeypatch, loaded):
    monkeypatch.syspath_prepend(write(tmp_path / 'one'))
    assert loaded() == 'one'
    monkeypatch.setattr('plugin.config.packages.load', None)
    monkeypatch.setattr('plugin.config.packages.is_installed', None)
    monkeypatch.setattr('plugin.config.packages.get_installed_path', None)
    assert loaded() == 'one'


def test_a_package_at_another_place_is_found_there(tmp_path, monkeypatch, loaded):
    with monkeypatch.context() as first:
        first.syspath_prepend(write(tmp_path / 'one'))
        assert loaded() == 'one'
    with pytest.raises(ModuleNotFoundError, match='toy is not installed'):
        loaded()
    monkeypatch.syspath_prepend(write(tmp_path / 'two'))
    assert loaded() == 'two'


def test_a_metafile_that_changes_is_read_again(tmp_path):
    path = tmp_path / 'metafile.yml'
    with searched_once():
        for version in range(2):
            path.write_text(f'version: {version}\n')
            os.utime(path, ns=(version, version))
            assert utils.load(str(path)) == {'version': version}


def test_outside_of_it_mmengine_is_as_it_was():
    patched = (utils, 'load'), (config, 'is_installed'), (config, 'get_installed_path')
    before = [getattr(*name) for name in patched]
    with searched_once():
        pass
    assert [getattr(*name) for name in patched] == before


@pytest.mark.parametrize(
    ('folder', 'holds', 'expected'),
    [
        ('lib/site-packages', None, True),
        ('lib/dist-packages', None, True),
        ('target', 'toy-1.0.dist-info', True),
        ('clone', 'toy.egg-info', False),
        ('project', None, False),
    ],
)
def test_a_file_is_of_a_package_where_pip_installs(
    tmp_path, monkeypatch, folder, holds, expected
):
    folder = write(tmp_path / folder)
    if holds:
        (folder / holds).mkdir()
    monkeypatch.syspath_prepend(folder)
    config = folder / 'toy/.mim/configs/toy/toy_config.py'
    assert of_a_package(config) is of_a_package(str(config)) is expected


def test_a_file_where_the_user_works_is_theirs(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'toy-1.0.dist-info').mkdir()
    assert of_a_package(tmp_path / 'my.py')
    monkeypatch.chdir(tmp_path)
    assert not of_a_package(tmp_path / 'my.py')


def test_a_config_of_a_package_is_read_once(tmp_path, monkeypatch, loaded):
    monkeypatch.syspath_prepend(write(tmp_path / 'site-packages'))
    assert loaded() == 'site-packages'
    with monkeypatch.context() as patch:
        patch.setattr('plugin.config.packages._of_package.__wrapped__', None)
        assert loaded() == 'site-packages'
    path = tmp_path / 'site-packages/toy/.mim/configs/toy/toy_config.py'
    os.utime(path, ns=(0, 0))
    path.write_text("where = 'changed'\n")
    assert loaded() == 'changed'


def test_what_a_config_changes_is_not_changed_for_the_next(
    tmp_path, monkeypatch, loaded
):
    folder = write(tmp_path / 'site-packages')
    (folder / 'toy/.mim/configs/toy/toy_config.py').write_text('where = dict(a=[1])\n')
    monkeypatch.syspath_prepend(folder)
    for _ in range(2):
        where = loaded()
        assert where == dict(a=[1])
        where.a.append(2)


def test_a_variable_of_the_environment_is_read_again(tmp_path, monkeypatch, loaded):
    folder = write(tmp_path / 'site-packages')
    (folder / 'toy/.mim/configs/toy/toy_config.py').write_text(
        "where = '{{$WHERE_IT_IS:nowhere}}'\n"
    )
    monkeypatch.syspath_prepend(folder)
    assert loaded() == 'nowhere'
    monkeypatch.setenv('WHERE_IT_IS', 'here')
    assert loaded() == 'here'
