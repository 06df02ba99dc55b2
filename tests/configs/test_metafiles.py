"""metafile.yml, the tables and model-index.yml agree with the configs."""

from pathlib import Path

import pytest
from modelindex.load_model_index import load
from ready_configs import LIBRARIES, READY, ROOT
from scripts import load_script
from torch import nn

from plugin.config.names import load_config
from plugin.measure.build import build_model


@pytest.fixture(scope='module')
def metafiles():
    return load_script(ROOT / 'tools/metafiles.py')


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


# Config, size of image, parameters and multiply-adds as published, in millions and 1e9:
# in the ConvNeXt repository (detection and segmentation), and in the model zoos of
# mmyolo 0.6.0 and mmdet 3.3.0, which count what a norm adds as well.
PUBLISHED = [
    ('configs/det/mask-rcnn_convnext-tiny_fpn_8xb2-amp-ms-crop-3x_coco.py', 48, 262),
    ('configs/seg/upernet_convnext-tiny_8xb2-amp-160k_ade20k-512x512.py', 60, 939),
    ('configs/seg/upernet_convnext-base_8xb2-amp-160k_ade20k-512x512.py', 122, 1170),
    ('mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py', 7.24, 8.27),
    ('mmyolo::yolox/yolox_s_fast_8xb8-300e_coco.py', 8.97, 13.40),
    ('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', 37.74, 239.32),
]


@pytest.mark.parametrize(('config', 'params', 'flops'), PUBLISHED)
def test_papers_and_model_zoos_count_the_same(config, params, flops, metafiles):
    cfg = load_config(config if '::' in config else str(ROOT / config))
    model = build_model(cfg).eval()
    size = metafiles.PAPER_SIZES[metafiles.algorithm_of(Path(config).name)]
    # mmdet leaves the stem and the first stage out, which are frozen.
    learnt = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert learnt / 1e6 == pytest.approx(params, abs=0.5 if params > 40 else 0.005)
    counted = metafiles.count_flops(model, size) / 1e9
    assert counted == pytest.approx(flops, rel=0.001 if params > 40 else 0.01)


def test_a_metafile_has_the_flops_at_the_size_of_the_papers(metafiles):
    path = 'configs/seg/upernet_timm-resnet10t_1xb8-1k_shapes.py'
    entry = metafiles.entry(ROOT / path)
    text = metafiles.metafile('seg', [entry])
    assert '      Paper Input Size: 512x2048\n' in text
    assert f'      FLOPs At Paper Input Size: {entry.paper_flops}\n' in text
    assert entry.paper_flops > 10 * entry.flops


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
