"""Facts read from the sources of mmcv and the libraries that are installed."""

import mmcv._ext
import mmdet
import mmpretrain
import mmseg
import pytest

from plugin.doctor.environment import Environment
from plugin.doctor.mmcv import find_operators
from plugin.doctor.versions import bounds_in
from plugin.libraries import SCOPES

mmyolo = pytest.importorskip('mmyolo')


def test_covered_operators_are_those_that_our_module_has():
    found = find_operators(Environment())
    # Of sync_bn_*, only the names of directions at the end are cut off.
    assert {'nms', 'roi_align', 'modulated_deform_conv'} <= set(found.covered)
    assert 'sigmoid_focal_loss' in found.covered and 'deform_conv' in found.covered
    named = {name for name in mmcv._ext.__all__ if not name.startswith('get_compil')}
    for name in found.covered:
        assert any(own == name or own.startswith(f'{name}_') for own in named), name
    for name in named:
        assert any(name == own or name.startswith(f'{own}_') for own in found.covered)
    assert 'nms_rotated' in found.missing
    assert not set(found.covered) & set(found.missing)


@pytest.mark.parametrize('library', [mmdet, mmseg, mmyolo, mmpretrain])
def test_the_bounds_are_those_that_the_library_has_when_it_is_imported(library):
    environment = Environment()
    found = bounds_in(environment.folder(library.__name__))
    own = vars(library)
    names = ('mmcv', 'mmengine', *(['mmdet'] if library is mmyolo else []))
    if library is mmseg:
        expected = {
            n: (own[f'{n.upper()}_MIN'], own[f'{n.upper()}_MAX']) for n in names
        }
    else:
        expected = {
            n: (own[f'{n}_minimum_version'], own[f'{n}_maximum_version']) for n in names
        }
    assert found == expected


@pytest.mark.parametrize('module', ['mmcv', 'mmengine', *SCOPES])
def test_versions_are_read_without_an_import(module):
    import importlib

    version = importlib.import_module(module).__version__
    assert Environment().module_version(module) == version
