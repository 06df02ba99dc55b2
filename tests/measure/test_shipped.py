"""The lists of weights that the installed libraries ship."""

import pytest

from plugin.libraries import SCOPES
from plugin.measure import shipped as module
from plugin.measure.shipped import listed, shipped

METAFILE = """
Collections:
- Name: Net
Models:
  - Name: net-small
    In Collection: Net
    Config: configs/net/net-small.py
    Results:
      Task: Semantic Segmentation
      Dataset: ADE20K
    Weights: https://example.com/net-small.pth
    Converted From:
      Weights: https://example.com/theirs.pth
  - Name: net-large
    In Collection: Net
    Config: configs/net/net-large.py
    Results:
      - Dataset: ImageNet-1k
      - Dataset: COCO
    Weights: null
  - Name: no config
"""


@pytest.fixture
def library(tmp_path, monkeypatch):
    """The configs of a library ``toy``."""
    folder = tmp_path / '.mim/configs/net'
    folder.mkdir(parents=True)
    (folder / 'metafile.yaml').write_text(METAFILE)
    monkeypatch.setattr(module, 'shipped', lambda library: tmp_path / '.mim/configs')
    module._metafiles.cache_clear()
    yield tmp_path / '.mim/configs'
    module._metafiles.cache_clear()


def test_an_entry_has_its_config_its_weights_and_where_they_come_from(library):
    small, large = listed('toy')
    assert (small.name, small.collection) == ('net-small', 'Net')
    assert small.config == library / 'net/net-small.py'
    assert small.weights == 'https://example.com/net-small.pth'
    assert small.origins == ('https://example.com/theirs.pth',)
    assert small.data == ('ADE20K',)
    assert (large.weights, large.origins) == (None, ())
    assert large.data == ('ImageNet-1k', 'COCO')


def test_only_files_with_a_text_are_parsed(library, monkeypatch):
    def fail(*args):
        raise AssertionError('it was parsed')

    assert len(list(listed('toy', 'theirs.pth'))) == 2
    monkeypatch.setattr(module, '_entries', fail)
    assert list(listed('toy', 'others.pth')) == []


@pytest.mark.parametrize('library', SCOPES)
def test_every_library_lists_weights_beside_configs(library):
    pytest.importorskip(library)
    entries = list(listed(library))
    assert len(entries) > 50
    there = [entry for entry in entries if entry.config.is_file()]
    assert len(there) > 0.9 * len(entries)
    assert sum(entry.weights is not None for entry in there) > 0.9 * len(there)


def test_what_is_not_installed_ships_nothing():
    assert shipped('mmrotate') is None and list(listed('mmrotate')) == []
