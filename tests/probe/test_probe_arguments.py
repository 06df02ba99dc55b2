"""Messages on arguments that a backbone refuses."""

import pytest
from torch import nn

from plugin.probe import probe
from plugin.registry import MODELS

RESNET = dict(type='mmdet.ResNet')


def message(cfg, size=224, given=None):
    given = [k for k in cfg if k != 'type'] if given is None else given
    with pytest.raises(ValueError) as raised:
        probe(cfg, size, given)
    text = str(raised.value)
    assert '\n' not in text and '  ' not in text
    return text


def test_an_argument_that_is_missing_is_named_with_a_value():
    assert message(RESNET) == ('mmdet.ResNet needs depth; write --cfg-options depth=50')
    assert message(dict(type='mmdet.HRNet')) == (
        'mmdet.HRNet needs extra; write --cfg-options extra=...'
    )
    assert message(dict(type='mmpretrain.LeViT')).endswith('arch=128s')


def test_an_argument_that_there_is_not_is_named_with_the_nearest():
    assert message(dict(RESNET, dept=50)) == (
        'mmdet.ResNet takes no dept; did you mean depth or deep_stem?'
    )


def test_arguments_are_also_those_that_kwargs_hand_on():
    text = message(dict(type='mmdet.ResNeXt', depth=50, frozen_stage=1))
    assert text.startswith(
        'mmdet.ResNeXt takes no frozen_stage; did you mean frozen_stages or '
    )


@pytest.mark.parametrize(
    ('cfg', 'culprit', 'allowed'),
    [
        (dict(RESNET, depth=51), 'depth=51', '18, 34, 50, 101, 152'),
        (dict(RESNET, depth=51, out_indices=(1, 2)), 'depth=51', '18, 34'),
        (dict(type='mmpretrain.RegNet', arch='foo'), "arch='foo'", 'regnetx_400mf'),
        (dict(type='mmpretrain.MobileNetV3', arch='huge'), "arch='huge'", 'small,'),
        (dict(type='mmyolo.YOLOv8CSPDarknet', arch='P6'), "arch='P6'", 'P5'),
    ],
)
def test_a_variant_that_there_is_not_is_named_with_those_there_are(
    cfg, culprit, allowed
):
    text = message(cfg)
    assert text.startswith(f'{cfg["type"]}: {culprit} is refused')
    assert 'is one of ' in text and allowed in text


def test_a_reason_that_is_the_value_itself_is_left_out():
    assert message(dict(type='mmyolo.YOLOv8CSPDarknet', arch='P6')) == (
        "mmyolo.YOLOv8CSPDarknet: arch='P6' is refused; arch is one of P5"
    )


@pytest.mark.parametrize(
    ('cfg', 'allowed'),
    [
        # It asserts.
        (dict(RESNET, depth=18, out_indices=(2, 4)), '0 to 3'),
        (dict(type='mmyolo.CSPNeXt', out_indices=(1, 9)), '0 to 4'),
        # It raises.
        (dict(type='mmpretrain.MobileNetV3', out_indices=(3, 13)), '0 to 12'),
        # It indexes a list.
        (dict(type='mmdet.SwinTransformer', out_indices=(0, 4)), '0 to 3'),
        # They pass over it.
        (dict(type='mmpretrain.VisionTransformer', out_indices=(3, 12)), '0 to 11'),
        (dict(RESNET, depth=18, out_indices=(-1,)), '0 to 3'),
    ],
)
def test_a_map_that_there_is_not_is_named_with_those_there_are(cfg, allowed):
    text = message(cfg)
    assert text.startswith(f'{cfg["type"]}: out_indices={cfg["out_indices"]} ')
    assert text.endswith(f'; choose from {allowed}')


def test_the_condition_of_a_bare_assertion_is_shown():
    text = message(dict(RESNET, depth=18, out_indices=(2, 4)))
    assert 'it asserts max(out_indices) < num_stages;' in text


def test_a_class_without_out_indices_says_what_it_takes():
    text = message(dict(type='mmdet.HourglassNet', out_indices=(1,)))
    assert text.startswith('mmdet.HourglassNet takes no out_indices')
    assert text.endswith('feat_channel, norm_cfg, init_cfg')


def test_our_own_backbones_speak_for_themselves():
    assert message(dict(type='plugin.ConvNeXt', out_indices=(1, 4))).startswith(
        'out_indices=(1, 4) is out of range; ConvNeXt tiny has stages 0 to 3'
    )
    assert 'nearest names are resnet18' in message(
        dict(type='plugin.TIMMBackbone', model_name='resnet_18')
    )


def test_a_base_class_is_no_backbone():
    assert 'is a base class' in message(dict(type='mmyolo.BaseBackbone'))


def test_a_type_that_there_is_not_is_named_with_the_nearest():
    assert message(dict(type='mmdet.ResNett')) == (
        'mmdet.ResNett is not registered; the nearest names are mmdet.ResNet, '
        'mmdet.ResNeXt, mmdet.ResNeSt'
    )


def test_a_size_that_is_refused_is_named_with_one_that_works():
    text = message(dict(type='mmpretrain.SwinTransformerV2'))
    assert 'takes no image of 224x224 (AssertionError: The input shape' in text
    assert text.endswith('; 256x256 works: write --input 256')
    assert probe(dict(type='mmpretrain.SwinTransformerV2'), 256).channels == (768,)


@pytest.mark.parametrize(
    ('cfg', 'size', 'works'),
    [
        (dict(type='mmseg.BEiT', img_size=640, num_layers=1, out_indices=0), 224, 640),
        (dict(type='mmpretrain.MlpMixer'), 256, 224),
        (dict(type='plugin.TIMMBackbone', model_name='levit_128'), 256, 224),
    ],
    ids=['beit', 'mixer', 'levit'],
)
def test_a_size_that_the_model_is_built_for_is_found(cfg, size, works):
    assert message(cfg, size, given=[]).endswith(f'write --input {works}')


def test_what_never_runs_says_why():
    text = message(dict(type='mmpretrain.SparseConvNeXt'), 64)
    assert text.startswith(
        'mmpretrain.SparseConvNeXt does not run on images of 3 channels, at 64x64 or '
        'any usual size: '
    )
    assert "'NoneType' object has no attribute 'shape'" in text


def test_a_mistake_of_the_users_own_class_is_reported_with_its_argument():
    class Narrow(nn.Module):
        def __init__(self, width=8):
            super().__init__()
            if width < 4:
                raise RuntimeError('too narrow')
            self.stem = nn.Conv2d(3, width, 4, stride=4)

        def forward(self, x):
            return (self.stem(x),)

    MODELS.register_module(module=Narrow)
    try:
        assert message(dict(type='plugin.Narrow', width=2)) == (
            'plugin.Narrow: width=2 is refused: too narrow'
        )
        assert probe(dict(type='plugin.Narrow', width=4)).channels == (4,)
    finally:
        del MODELS.module_dict['Narrow']
