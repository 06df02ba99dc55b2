"""The checkpoints that the libraries' own configs start their backbones from.

Source: the configs that mmdet 3.3.0, mmsegmentation 1.2.2 and mmyolo 0.6.0 ship.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_CLS = 'https://download.openmmlab.com/mmclassification/v0'
_SWIN = 'https://github.com/SwinTransformer/storage/releases/download/v1.0.0'
_SEG_SWIN = 'https://download.openmmlab.com/mmsegmentation/v0.5/pretrain/swin'
_CSPNEXT = 'https://download.openmmlab.com/mmdetection/v3.0/rtmdet/cspnext_rsb_pretrain'


@dataclass(frozen=True)
class Known:
    """A checkpoint.

    Attributes:
        checkpoint: Its address.
        prefix: Of the backbone's weights in it.
        arguments: What the backbone must be told besides.
        reasons: Why, by argument.
    """

    checkpoint: str
    prefix: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)


def _swin(
    embed_dims: int, depth: int, heads: int, file: str, window: int = 7
) -> tuple[dict, Known]:
    variant = dict(
        embed_dims=embed_dims,
        depths=[2, 2, depth, 2],
        num_heads=[heads * 2**i for i in range(4)],
        window_size=window,
    )
    if window == 12:
        variant['pretrain_img_size'] = 384
    return variant, Known(
        f'{_SWIN}/{file}',
        arguments=dict(convert_weights=True),
        reasons=dict(convert_weights="The file has Microsoft's names for the layers."),
    )


_RESNETS = {'mmdet.ResNet', 'mmseg.ResNet'}
_RESNEXTS = {'mmdet.ResNeXt', 'mmseg.ResNeXt'}
_CONVNEXTS = {'plugin.ConvNeXt', 'mmpretrain.ConvNeXt'}
_CSPNEXTS = {'mmdet.CSPNeXt', 'mmyolo.CSPNeXt'}

# Types, their arguments, and the weights.
TABLE: list[tuple[set[str], dict[str, Any], Known]] = [
    *(
        (_RESNETS, dict(depth=depth), Known(f'torchvision://resnet{depth}'))
        for depth in (18, 34, 50, 101)
    ),
    *(
        ({'mmseg.ResNetV1c'}, dict(depth=d), Known(f'open-mmlab://resnet{d}_v1c'))
        for d in (18, 50, 101)
    ),
    *(
        (
            _RESNEXTS,
            dict(depth=depth, groups=groups, base_width=4),
            Known(f'open-mmlab://resnext{depth}_{groups}x4d'),
        )
        for depth, groups in ((50, 32), (101, 32), (101, 64))
    ),
    *(
        ({'mmdet.RegNet'}, dict(arch=arch), Known(f'open-mmlab://{arch}'))
        for arch in (
            *('regnetx_400mf', 'regnetx_800mf', 'regnetx_1.6gf', 'regnetx_3.2gf'),
            *('regnetx_4.0gf', 'regnetx_6.4gf', 'regnetx_8.0gf', 'regnetx_12gf'),
        )
    ),
    *(
        ({'mmdet.SwinTransformer'}, *_swin(*variant))
        for variant in (
            (96, 6, 3, 'swin_tiny_patch4_window7_224.pth'),
            (96, 18, 3, 'swin_small_patch4_window7_224.pth'),
            (128, 18, 4, 'swin_base_patch4_window7_224.pth'),
            (128, 18, 4, 'swin_base_patch4_window12_384_22k.pth', 12),
            (192, 18, 6, 'swin_large_patch4_window12_384_22k.pth', 12),
        )
    ),
    *(
        (
            {'mmseg.SwinTransformer'},
            _swin(96, depth, 3, '')[0],
            Known(f'{_SEG_SWIN}/{file}'),
        )
        for depth, file in (
            (6, 'swin_tiny_patch4_window7_224_20220317-1cdeb081.pth'),
            (18, 'swin_small_patch4_window7_224_20220317-7ba6d6dd.pth'),
        )
    ),
    *(
        (
            _CONVNEXTS,
            dict(arch=arch),
            Known(f'{_CLS}/convnext/downstream/convnext-{file}.pth', 'backbone.'),
        )
        for arch, file in (
            ('tiny', 'tiny_3rdparty_32xb128-noema_in1k_20220301-795e9634'),
            ('small', 'small_3rdparty_32xb128-noema_in1k_20220301-303e75e3'),
            ('base', 'base_3rdparty_32xb128-noema_in1k_20220301-2a0ee547'),
            ('large', 'large_3rdparty_in21k_20220301-e6e0ea0a'),
            ('xlarge', 'xlarge_3rdparty_in21k_20220301-08aa5ddc'),
        )
    ),
    *(
        (
            _CSPNEXTS,
            dict(deepen_factor=deepen, widen_factor=widen, channel_attention=True),
            Known(f'{_CSPNEXT}/cspnext-{file}.pth', 'backbone.'),
        )
        for deepen, widen, file in (
            (0.167, 0.375, 'tiny_imagenet_600e'),
            (0.33, 0.5, 's_imagenet_600e'),
            (0.67, 0.75, 'm_8xb256-rsb-a1-600e_in1k-ecb3bbd9'),
            (1.0, 1.0, 'l_8xb256-rsb-a1-600e_in1k-6a760974'),
        )
    ),
    ({'mmdet.MobileNetV2'}, {}, Known('open-mmlab://mmdet/mobilenet_v2')),
    ({'mmdet.Darknet'}, dict(depth=53), Known('open-mmlab://darknet53')),
    (
        {'mmpretrain.MobileNetV3'},
        dict(arch='small'),
        Known(
            f'{_CLS}/mobilenet_v3/convert/mobilenet_v3_small-8427ecf0.pth', 'backbone.'
        ),
    ),
    (
        {'mmpretrain.CSPResNeXt'},
        dict(depth=50),
        Known(
            f'{_CLS}/cspnet/cspresnext50_3rdparty_8xb32_in1k_20220329-2cc84d21.pth',
            'backbone.',
        ),
    ),
]
