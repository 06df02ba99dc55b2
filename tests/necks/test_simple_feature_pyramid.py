import math

import pytest
import torch
from mmengine.hub import get_config
from mmengine.registry import DefaultScope

from plugin.registry import MODELS


def build(**kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(type='plugin.SimpleFeaturePyramid', **kwargs))


def sizes(maps):
    return [tuple(x.shape) for x in maps]


def test_one_map_becomes_four_at_the_scales_of_the_paper():
    neck = build(in_channels=[48], out_channels=32)
    assert sizes(neck([torch.rand(2, 48, 4, 6)])) == [
        (2, 32, 16, 24),
        (2, 32, 8, 12),
        (2, 32, 4, 6),
        (2, 32, 2, 3),
    ]


def test_extra_maps_halve_the_last_one_rounding_up():
    neck = build(in_channels=[48], out_channels=32, scales=(2, 1, 0.5), extra_maps=2)
    assert [s[2:] for s in sizes(neck([torch.rand(1, 48, 5, 7)]))] == [
        (10, 14),
        (5, 7),
        (3, 4),
        (2, 2),
        (1, 1),
    ]


def test_each_scale_has_a_map_of_its_own_when_the_backbone_gives_as_many():
    neck = build(in_channels=[16, 32], out_channels=8, scales=(2, 1))
    first, second = torch.rand(1, 16, 4, 4), torch.rand(1, 32, 4, 4)
    a, b = neck([first, second])
    other, same = neck([first + 1, second])
    assert not torch.equal(a, other)
    assert torch.equal(b, same)


def test_gradients_reach_every_parameter():
    neck = build(in_channels=[48], out_channels=32, extra_maps=1)
    sum((x**2).sum() for x in neck([torch.rand(2, 48, 4, 4)])).backward()
    assert [n for n, p in neck.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(scales=(1, 2)), 'must descend'),
        (dict(scales=()), 'must descend'),
        (dict(scales=(8, 4)), '8 is none of 4, 2, 1 and 0.5'),
        (dict(in_channels=[8, 8]), 'has 2 entries for 4 scales'),
    ],
    ids=str,
)
def test_a_mistake_is_answered_with_what_to_write(kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(**{'in_channels': [48], **kwargs})


def test_another_number_of_maps_than_declared_is_refused():
    with pytest.raises(ValueError, match='gives 2 maps but in_channels='):
        build(in_channels=[8])([torch.rand(1, 8, 4, 4)] * 2)


def test_maps_that_are_a_pyramid_already_are_refused():
    maps = [torch.rand(1, 8, size, size) for size in (16, 8, 4, 2)]
    with pytest.raises(ValueError, match=r'pyramid already, .* \[16, 8, 4, 2\] cells'):
        build(in_channels=[8] * 4)(maps)


@pytest.mark.slow
def test_retinanet_on_a_plain_vit_gives_maps_at_the_strides_of_its_anchors():
    pytest.importorskip('mmdet', reason='needs mmdet')
    model = get_config('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py').model
    model.backbone = dict(
        type='plugin.TIMMBackbone', model_name='vit_tiny_patch16_224', out_indices=(-1,)
    )
    model.neck = dict(
        type='plugin.SimpleFeaturePyramid',
        in_channels=[192],
        scales=(2, 1, 0.5),
        extra_maps=2,
    )
    with DefaultScope.overwrite_default_scope('mmdet'):
        detector = MODELS.build(model)
    with torch.no_grad():
        scores, _ = detector(torch.rand(1, 3, 128, 160), mode='tensor')
    strides = [s[0] for s in detector.bbox_head.prior_generator.strides]
    assert strides == [8, 16, 32, 64, 128]
    assert [tuple(x.shape[2:]) for x in scores] == [
        (math.ceil(128 / s), math.ceil(160 / s)) for s in strides
    ]
