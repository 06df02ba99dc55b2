"""The meaning of a name on the command line."""

import sys

import pytest

from plugin.measure.backbone import registered
from plugin.probe.naming import resolve
from plugin.registry import MODELS

OWN = """
from torch import nn

from plugin.registry import MODELS


@MODELS.register_module()
class {name}(nn.Module):
    pass


class NotRegistered(nn.Module):
    pass
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Writes modules that register classes, in the folder that the test is in."""
    before = set(sys.modules), dict(MODELS.module_dict)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, 'path', [*sys.path, str(tmp_path)])

    def write(module, *names):
        text = ''.join(OWN.format(name=name) for name in names)
        (tmp_path / f'{module}.py').write_text(text)

    yield write
    for name in set(sys.modules) - before[0]:
        if getattr(sys.modules[name], '__file__', None) and str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]
    MODELS.module_dict.clear()
    MODELS.module_dict.update(before[1])


def message(*args):
    with pytest.raises(ValueError) as raised:
        resolve(*args)
    return str(raised.value)


def test_a_type_with_its_scope_is_a_type():
    assert resolve('mmdet.ResNet') == dict(type='mmdet.ResNet')
    assert resolve('plugin.ConvNeXt') == dict(type='plugin.ConvNeXt')


def test_a_model_of_timm_has_a_colon():
    expected = dict(type='plugin.TIMMBackbone', model_name='resnet18.a1_in1k')
    assert resolve('timm:resnet18.a1_in1k') == expected
    assert message('timm.resnet18').endswith('as timm:resnet18')
    assert message('timm.resnet18.a1_in1k').endswith('timm:resnet18.a1_in1k')


@pytest.mark.parametrize(
    'config',
    [
        'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py',
        'mmdet::retinanet/retinanet_r18_fpn_1x_coco',
    ],
)
def test_a_config_means_its_backbone(config):
    found = resolve(config)
    assert (found['type'], found['depth']) == ('ResNet', 18)
    assert found['_scope_'] == 'mmdet'


def test_a_config_of_the_pure_python_style_means_its_backbone(tmp_path):
    path = tmp_path / 'lazy.py'
    path.write_text(
        'from mmengine.config import read_base\n'
        'from mmdet.models import ResNet, RetinaNet\n'
        "default_scope = 'mmdet'\n"
        'model = dict(type=RetinaNet, backbone=dict(type=ResNet, depth=18))\n'
    )
    from plugin.probe import probe

    found = resolve(str(path))
    assert found['_scope_'] == 'mmdet'
    assert probe(found, 64).channels == (64, 128, 256, 512)


def test_weights_that_mmseg_names_on_the_model_are_those_of_its_backbone():
    config = 'mmseg::pspnet/pspnet_r50-d8_4xb2-40k_cityscapes-512x1024.py'
    assert resolve(config)['pretrained'] == 'open-mmlab://resnet50_v1c'


def test_a_config_without_a_backbone_says_so(tmp_path):
    path = tmp_path / 'data.py'
    path.write_text("data_root = 'data'\n")
    assert message(str(path)).endswith('has no backbone in its model')


def test_a_config_that_is_not_there_is_a_missing_file():
    with pytest.raises(FileNotFoundError, match='No such file'):
        resolve('configs/nowhere.py')


def test_a_module_that_registers_a_class_is_imported(own):
    own('my_backbone', 'MyNet')
    assert resolve('plugin.MyNet', ['my_backbone']) == dict(type='plugin.MyNet')
    assert 'plugin.MyNet' in dict(registered())


def test_a_class_may_be_named_by_its_module(own):
    own('my_backbone', 'MyNet')
    assert resolve('my_backbone.MyNet') == dict(type='plugin.MyNet')


def test_a_class_may_be_named_by_its_file(own):
    own('my_backbone', 'MyNet')
    assert resolve('my_backbone.py') == dict(type='plugin.MyNet')


def test_a_file_with_two_classes_says_how_to_name_one(own):
    own('my_backbone', 'MyNet', 'MyOther')
    text = message('my_backbone.py')
    assert 'registers plugin.MyNet, plugin.MyOther; name one' in text
    assert text.endswith('probe plugin.MyNet --import my_backbone')


def test_a_class_that_is_not_registered_says_how(own):
    own('my_backbone', 'MyNet')
    assert '@MODELS.register_module()' in message('my_backbone.NotRegistered')
    assert message('my_backbone.Nothing').endswith('it registers plugin.MyNet')


def test_imports_that_fail_say_which_and_why(own, tmp_path):
    own('my_backbone', 'MyNet')
    (tmp_path / 'needs_more.py').write_text('import no_such_package\n')
    (tmp_path / 'broken.py').write_text('def f(:\n')
    (tmp_path / 'raises.py').write_text('\n1 / 0\n')
    assert 'there is no module nowhere' in message('plugin.A', ['nowhere'])
    assert message('plugin.A', ['needs_more']) == (
        "--import needs_more: No module named 'no_such_package'"
    )
    assert 'SyntaxError: invalid syntax (broken.py, line 1)' in message(
        'plugin.A', ['broken']
    )
    assert 'ZeroDivisionError: division by zero (raises.py, line 2)' in message(
        'plugin.A', ['raises']
    )
    assert 'PYTHONPATH' in message('my_packages.MyNet')


@pytest.mark.parametrize(
    ('old', 'new'),
    [
        ('mmcls.ConvNeXt', 'mmcls is mmpretrain now; write mmpretrain.ConvNeXt'),
        ('mmselfsup.MoCoV3ViT', 'write mmpretrain.MoCoV3ViT'),
        ('mmselfsup.ResNet', '(2, 3, 4) there is (1, 2, 3) here'),
        ('mmcls.ConvNext', 'mmpretrain.ConvNeXt'),
        ('mmdetection.ResNet', 'write mmdet.ResNet'),
        ('mmsegmentation.UNet', 'write mmseg.UNet'),
    ],
)
def test_an_old_name_says_what_to_write_now(old, new):
    text = message(old)
    assert text.startswith(old) and new in text


def test_a_name_without_a_scope_says_whose_it_is():
    assert message('UNet') == ('UNet needs its library before it: write mmseg.UNet')
    assert message('resnet18') == 'resnet18 is a model of timm: write timm:resnet18'
    assert 'the nearest names are ' in message('ResNett')
