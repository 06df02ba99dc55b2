"""Backbones that give vectors or sequences, and what makes them give maps."""

import pytest

from plugin.measure.as_maps import SWITCHES, as_maps
from plugin.registry import MODELS

SIZE = (64, 64)


def small_vit(**arguments):
    return dict(
        type='mmpretrain.VisionTransformer',
        arch=dict(embed_dims=32, num_layers=1, num_heads=2, feedforward_channels=32),
        img_size=64,
        **arguments,
    )


def test_an_argument_of_the_class_turns_vectors_into_maps():
    pytest.importorskip('mmpretrain')
    convnext = dict(type='mmpretrain.ConvNeXt', arch='atto')
    assert as_maps(convnext, SIZE) == dict(gap_before_final_norm=False)
    assert as_maps(small_vit(), SIZE) == dict(out_type='featmap')
    former = dict(type='mmpretrain.EfficientFormer', arch='l1')
    assert as_maps(former, (224, 224)) == dict(reshape_last_feat=True)


def test_what_is_to_be_kept_is_not_changed():
    pytest.importorskip('mmpretrain')
    vit = small_vit(out_type='cls_token')
    assert as_maps(vit, SIZE) == dict(out_type='featmap')
    assert as_maps(vit, SIZE, keep=['out_type']) is None


def test_the_timm_backbone_of_a_library_becomes_ours():
    pytest.importorskip('mmpretrain')
    theirs = dict(
        type='mmpretrain.TIMMBackbone',
        model_name='swin_tiny_patch4_window7_224',
        features_only=True,
        pretrained=False,
        drop_path_rate=0.1,
    )
    found = as_maps(theirs, (224, 224))
    assert found['type'] == 'plugin.TIMMBackbone'
    assert found['model_name'] == theirs['model_name']


def test_nothing_is_known_of_a_class_of_ones_own():
    from torch import nn

    class Flat(nn.Module):
        def forward(self, x):
            return (x.flatten(1),)

    MODELS.register_module(module=Flat)
    try:
        assert as_maps(dict(type='plugin.Flat'), SIZE) is None
    finally:
        MODELS.module_dict.pop('Flat')


def test_no_switch_is_there_twice():
    names = [name for name, _ in SWITCHES]
    assert len(set(names)) == len(names)
