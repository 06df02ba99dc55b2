"""Swapping in a test's own folder."""

import sys
from importlib import import_module
from pathlib import Path

import pytest
from pairs import OWN_NET

# It has what makes any config run on the shapes data set.
sys.path.append(str(Path(__file__).resolve().parents[1] / 'configs'))


@pytest.fixture(scope='module')
def own_net(tmp_path_factory):
    """The module of a user's own backbone, ``plugin.SwappedNet``, on the path."""
    from plugin.registry import MODELS

    folder = tmp_path_factory.mktemp('own')
    (folder / 'swapped_net.py').write_text(OWN_NET)
    sys.path.insert(0, str(folder))
    import_module('swapped_net')
    yield 'swapped_net'
    sys.path.remove(str(folder))
    sys.modules.pop('swapped_net', None)
    MODELS.module_dict.pop('SwappedNet', None)


@pytest.fixture(scope='session')
def swapped(tmp_path_factory):
    """``swapped(base, backbone, **options)``: what was written, and its config.

    Each pair is written once, into a folder of its own, and is not to be changed.
    """
    from mmengine.config import Config

    from plugin.swap import swap

    known = {}

    def run(base, backbone, out_indices=None, imports=(), **options):
        pair = repr((base, backbone, out_indices, options))
        if pair not in known:
            out = tmp_path_factory.mktemp('swapped') / 'swapped.py'
            done = swap(base, backbone, out, options, out_indices, imports)
            known[pair] = done, Config.fromfile(str(out))
        return known[pair]

    return run
