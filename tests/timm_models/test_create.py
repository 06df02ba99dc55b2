"""Building timm models with arguments that not every model takes."""

import pytest
import torch

from plugin.timm_models.create import ANY_SIZE, check_model_name, create


def test_a_model_is_asked_again_without_what_it_need_not_take():
    _, kwargs = create('resnet10t', dict(ANY_SIZE, in_chans=1), droppable=ANY_SIZE)
    assert kwargs == dict(in_chans=1)


# Three ways in which timm 1.0.31 refuses: Python's own; a list of names (VovNet and
# HRNet); and a second value for an argument that MobileNetV3 sets itself.
@pytest.mark.parametrize(
    ('model_name', 'argument'),
    [
        ('resnet10t', 'strict_img_size'),
        ('ese_vovnet19b_slim', 'strict_img_size'),
        ('mobilenetv3_small_050', 'pretrained_strict'),
    ],
)
def test_each_way_of_refusing_is_understood(model_name, argument):
    with torch.device('meta'):
        assert create(model_name, {argument: False}, [argument])[1] == {}
        with pytest.raises(ValueError, match=f"'{argument}', which is in timm_kwargs"):
            create(model_name, {argument: False})


@pytest.mark.parametrize(
    ('model_name', 'taken'),
    [
        ('swin_tiny_patch4_window7_224', set(ANY_SIZE)),
        ('swinv2_tiny_window8_256', set(ANY_SIZE)),
        ('vit_tiny_patch16_224', {'dynamic_img_size'}),
        ('eva02_tiny_patch14_224', {'dynamic_img_size'}),
        ('test_maxvit', set()),
    ],
)
def test_families_built_for_any_size_take_what_makes_them_so(model_name, taken):
    with torch.device('meta'):
        assert set(create(model_name, ANY_SIZE, ANY_SIZE)[1]) == taken


def test_a_type_error_of_another_kind_is_not_hidden():
    with pytest.raises(TypeError):
        create('resnet10t', dict(in_chans='three'), droppable=['in_chans'])


@pytest.mark.parametrize(
    'name', ['resnet18', 'resnet18.a1_in1k', 'tf_efficientnetv2_s_in21k', 'hf-hub:a/b']
)
def test_names_that_timm_knows_or_looks_up_elsewhere_pass(name):
    check_model_name(name)


def test_an_argument_near_no_other_is_answered_with_all_that_there_are():
    with pytest.raises(ValueError, match='takes img_size, patch_size, in_chans'):
        create('vit_tiny_patch16_224', dict(qqqqqq=1))
