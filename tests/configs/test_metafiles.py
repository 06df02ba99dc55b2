"""metafile.yml, the tables and model-index.yml agree with the configs."""

import importlib.util
import sys

import pytest
from modelindex.load_model_index import load
from ready_configs import LIBRARIES, READY, ROOT
from torch import nn


@pytest.fixture(scope='module')
def metafiles():
    spec = importlib.util.spec_from_file_location(
        'metafiles', ROOT / 'tools/metafiles.py'
    )
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by its name.
    sys.modules['metafiles'] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize('folder', LIBRARIES)
def test_what_is_committed_is_what_the_configs_give(folder, metafiles):
    for path, text in metafiles.rendered(folder):
        assert path.read_text() == text, 'run `python tools/metafiles.py`'


def test_convnext_tiny_counts_as_published(metafiles):
    """Table 1 of arXiv:2201.03545: 29 M parameters and 4.5 G at 224 pixels."""
    entry = metafiles.entry(ROOT / 'configs/cls/convnext-tiny_8xb128_in1k.py')
    assert entry.params == 28589128
    assert round(entry.flops / 1e9, 1) == 4.5
    assert entry.size == (224, 224)


def test_flops_of_a_convolution_are_its_multiply_adds(metafiles):
    class Model(nn.Conv2d):
        def forward(self, x, mode):
            return super().forward(x)

    model = Model(3, 8, 3, padding=1, bias=False).to('meta')
    assert metafiles.count_flops(model, (4, 6)) == 8 * 3 * 3 * 3 * 4 * 6


def test_the_model_index_lists_every_config_once(monkeypatch):
    monkeypatch.chdir(ROOT)
    index = load('model-index.yml')
    index.build_models_with_collections()
    configs = [str(model.data['Config']) for model in index.models]
    assert sorted(configs) == READY
    assert index.check(silent=True) == []
