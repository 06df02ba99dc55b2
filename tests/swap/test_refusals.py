"""Pairs that can't fit: why, in words, and nothing is written."""

import odd_nets
import pytest
from pairs import BASES

from plugin.registry import MODELS
from plugin.swap import swap

# A second or two each, and there are many.
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def odd_backbones():
    names = ['ChannelsLast', 'Vector', 'Single', 'OneSize', 'ThreeMaps']
    for name in names:
        MODELS.register_module(module=getattr(odd_nets, name))
    yield
    for name in names:
        MODELS.module_dict.pop(name)


@pytest.fixture
def refused(tmp_path):
    """``refused(base, backbone)``: what was said. Nothing was written."""

    def run(base, backbone, out_indices=None, **options):
        with pytest.raises(ValueError) as caught:
            out = tmp_path / 'new' / 'out.py'
            swap(base, backbone, out, options, out_indices)
        assert list(tmp_path.iterdir()) == []
        return str(caught.value)

    return run


@pytest.mark.parametrize(
    ('base', 'words'),
    [
        (
            'mmdet::faster_rcnn/faster-rcnn_r50-caffe_c4-1x_coco.py',
            ('has no neck: its ResLayer goes on with the layers', 'with an FPN'),
        ),
        ('mmpretrain::resnet/resnet50_8xb32_in1k.py', ('config of mmpretrain',)),
        ('mmdet::ssd/ssd300_coco.py', ('does not fit into', 'ssd_neck.py')),
        (
            'mmseg::vit/vit_vit-b16_mln_upernet_8xb2-80k_ade20k-512x512.py',
            ('maps of one stride, 16, as a plain ViT', 'made for a pyramid'),
        ),
    ],
)
def test_a_base_without_a_place_for_it(base, words, refused):
    message = refused(base, 'timm:resnet10t')
    assert all(word in message for word in words), message


def test_a_base_that_is_broken_itself(refused, tmp_path_factory):
    base = tmp_path_factory.mktemp('base') / 'base.py'
    base.write_text("_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coc.py'\n")
    message = refused(str(base), 'timm:resnet10t')
    assert 'is broken itself: ' in message and 'base.py: _base_ is' in message
    assert 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py' in message


def test_a_base_of_the_pure_python_style(refused, tmp_path_factory):
    base = tmp_path_factory.mktemp('base') / 'base.py'
    base.write_text(
        'from mmdet.models import RetinaNet\n'
        "default_scope = 'mmdet'\n"
        'model = dict(type=RetinaNet)\n'
    )
    assert 'pure Python style' in refused(str(base), 'timm:resnet10t')


@pytest.mark.parametrize(
    ('backbone', 'words'),
    [
        ('plugin.ChannelsLast', ('NHWC', '(N, C, H, W)')),
        ('plugin.Vector', ('outputs NC', '(N, C, H, W)')),
        ('plugin.Single', ('a single tensor', 'a tuple of maps')),
        ('plugin.OneSize', ('takes no image of 256x256',)),
        ('plugin.ThreeMaps', ('4, 8, 16, 32, and there is none of stride 4',)),
        ('timm:resnet10', ('is not a timm model; the nearest names are',)),
        ('mmdet.ResNet', ('needs depth; write --cfg-options depth=50',)),
        ('timm:levit_128', ('up to 224x224 only', '1333', 'img_size=1344')),
    ],
)
def test_a_backbone_that_does_not_fit_faster_rcnn(backbone, words, refused):
    message = refused(BASES['faster-rcnn'], backbone)
    assert all(word in message for word in words), message


def test_vectors_that_were_asked_for(refused):
    message = refused(
        BASES['upernet'], 'mmpretrain.VisionTransformer', out_type='cls_token'
    )
    assert 'outputs NC' in message


@pytest.mark.parametrize('base', ['retinanet', 'yolox'])
def test_patches_that_no_scale_brings_to_the_strides(base, refused):
    own = dict(patch_size=14)
    message = refused(BASES[base], 'timm:vit_tiny_patch16_224', timm_kwargs=own)
    assert 'have stride 14' in message
    assert 'leave timm_kwargs.patch_size out' in message


def test_widths_that_a_neck_rounds(refused):
    message = refused(BASES['yolov5'], 'timm:rexnet_100')
    assert '61, 128, 185' in message and 'multiples of 8' in message


def test_parts_that_another_library_does_not_have(refused):
    message = refused(BASES['retinanet'], 'mmyolo.YOLOv6EfficientRep')
    assert 'RepVGGBlock is not in the mmdet::model registry' in message


@pytest.mark.parametrize(
    ('out_indices', 'words'),
    [
        ((2, 3), ('takes 4 maps, of strides 4, 8, 16, 32', 'are 2, of strides 8, 16')),
        ((9,), ('out of range',)),
    ],
)
def test_out_indices_of_one_s_own_that_do_not_fit(out_indices, words, refused):
    message = refused(BASES['retinanet'], 'timm:resnet10t', out_indices)
    assert all(word in message for word in words), message


def test_out_indices_for_a_class_without_them(refused):
    message = refused(BASES['retinanet'], 'plugin.ThreeMaps', (0, 1))
    assert 'takes no out_indices' in message


def test_three_maps_without_a_choice_fit_where_three_are_read(swapped):
    done, cfg = swapped(BASES['retinanet'], 'plugin.ThreeMaps')
    assert done.out_indices is None and cfg.model.neck.start_level == 0
    done, cfg = swapped(BASES['yolov5'], 'plugin.ThreeMaps')
    assert cfg.model.neck.in_channels == [8, 8, 8]
