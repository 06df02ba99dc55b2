"""Backbones that give no maps, and the argument that makes them."""

import pytest
from one_problem import CLS, RETINANET, UPERNET, Reported, fix_it, reported, write

from plugin.check import check
from plugin.config.problem import ERROR

pytestmark = pytest.mark.slow

CONVNEXT = 'mmpretrain::convnext/convnext-tiny_32xb128_in1k.py'


def layout(key, found, fix):
    return Reported(key, 'layout', ERROR, found, '(N, C, H, W)', fix)


def detector(backbone, channels):
    return (
        f'model = dict(backbone=dict(_delete_=True, {backbone}), '
        f'neck=dict(in_channels={channels}))'
    )


def test_the_pooled_map_of_mmpretrains_convnext(tmp_path):
    key = 'model.backbone.gap_before_final_norm'
    text = detector(
        "type='mmpretrain.ConvNeXt', arch='tiny', out_indices=(0, 1, 2, 3)",
        [96, 192, 384, 768],
    )
    fix_it(
        write(tmp_path, RETINANET, text),
        layout(key, '(N, C), such as (1, 768)', f'{key}=False'),
    )


@pytest.mark.parametrize('out_type', ['raw', 'cls_token', 'avg_featmap'])
def test_a_vit_that_gives_no_maps(tmp_path, out_type):
    key = 'model.backbone.out_type'
    text = (
        'model = dict(pretrained=None, backbone=dict(_delete_=True, '
        f"type='mmpretrain.VisionTransformer', arch='deit-tiny', img_size=512, "
        f"out_type='{out_type}'), decode_head=dict(_delete_=True, type='FCNHead', "
        'in_channels=192, channels=64, num_classes=150), auxiliary_head=None)'
    )
    path = write(tmp_path, UPERNET, text)
    (problem,) = check(str(path))
    assert (problem.key, problem.in_short) == (key, f"{key}='featmap'")
    fix_it(path, problem)


def test_channels_last_become_our_own_timm_backbone(tmp_path):
    text = (
        'model = dict(pretrained=None, backbone=dict(_delete_=True, '
        "type='TIMMBackbone', model_name='swin_tiny_patch4_window7_224', "
        'features_only=True, img_size=256, window_size=8), '
        'decode_head=dict(in_channels=[96, 192, 384, 768]), '
        'auxiliary_head=dict(in_channels=384))'
    )
    fixed = fix_it(
        write(tmp_path, UPERNET, text),
        layout(
            'model.backbone',
            '(N, H, W, C), such as (1, 8, 8, 768)',
            "model.backbone={'type': 'plugin.TIMMBackbone', 'model_name': "
            "'swin_tiny_patch4_window7_224', 'features_only': True, "
            "'img_size': 256, 'timm_kwargs': {'window_size': 8}}",
        ),
    )
    assert fixed.model.backbone.type == 'plugin.TIMMBackbone'


def test_a_classifier_may_take_vectors(tmp_path):
    assert check(str(write(tmp_path, CONVNEXT, CLS))) == []


def test_channels_of_a_classifier_are_compared_on_vectors_too(tmp_path):
    path = write(tmp_path, CONVNEXT, 'model = dict(head=dict(in_channels=1024))')
    (problem,) = check(str(path))
    assert problem.in_short == 'model.head.in_channels=768'
    fix_it(path, problem)


def test_a_backbone_of_ones_own_that_returns_a_bare_map(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'bare_net.py').write_text(
        'from torch import nn\n'
        'from plugin.registry import MODELS\n'
        '@MODELS.register_module(force=True)\n'
        'class BareNet(nn.Conv2d):\n'
        '    def __init__(self):\n'
        '        super().__init__(3, 8, 4, 4)\n'
    )
    text = (
        "custom_imports = dict(imports=['bare_net'], allow_failed_imports=False)\n"
        + detector("type='plugin.BareNet'", [8])
        + '\nmodel["neck"].update(start_level=0)'
    )
    (problem,) = check(str(write(tmp_path, RETINANET, text)))
    assert reported(problem) == layout(
        'model.backbone',
        'BareNet.forward returned a Tensor',
        'model.backbone=...',
    )
