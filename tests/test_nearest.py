"""The names that are nearest to one that is not there."""

from plugin.nearest import CLOSE, did_you_mean, is_typo, likeness, nearest

NAMES = ['ResNet', 'ResNeXt', 'RegNet', 'ConvNeXt', 'SwinTransformer']


def test_the_nearest_come_first_and_as_many_as_asked_for():
    assert nearest('ResNets', NAMES) == ['ResNet', 'ResNeXt', 'RegNet']
    assert nearest('ResNets', NAMES, 1) == ['ResNet']


def test_case_and_the_kind_of_dash_do_not_count():
    assert likeness('conv-next', 'Conv_NeXt') == 1
    assert nearest('convnext', NAMES, 1) == ['ConvNeXt']


def test_what_is_too_far_is_left_out():
    assert nearest('optimizer', NAMES, at_least=CLOSE) == []
    assert nearest('SwinTransformers', NAMES, at_least=CLOSE) == ['SwinTransformer']


def test_of_names_as_near_the_one_that_begins_alike_comes_first():
    assert likeness('ResNett', 'Res2Net') == likeness('ResNett', 'ResNeSt')
    assert nearest('ResNett', ['Res2Net', 'ResNeSt'], 1) == ['ResNeSt']
    assert nearest('ab', ['ad', 'ac'], 1) == ['ad']


def test_a_message_ends_in_what_may_have_been_meant():
    assert did_you_mean('ResNets', ['ResNet', 'RegNet']) == (
        '; did you mean ResNet or RegNet?'
    )
    assert did_you_mean('x', NAMES) == ''


def test_a_typo_is_near_one_name_alone():
    assert is_typo('norm_evall', ['norm_eval', 'num_stages'])
    assert not is_typo('stage_x', ['stage_a', 'stage_b'])
    assert not is_typo('depth', ['width'])
    assert not is_typo('depth', [])
