import pytest
from freezable import FIRST
from torch import nn

from plugin.freezing.find_backbone import find_backbone, is_called_backbone

RESNET = FIRST[0]


class Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = RESNET.build(1)


class Tracker(nn.Module):
    def __init__(self):
        super().__init__()
        self.detector = Detector()


class Semi(nn.Module):
    def __init__(self):
        super().__init__()
        self.student = Detector()
        self.teacher = Detector()


def test_the_backbone_of_a_detector_is_found():
    model = Detector()
    assert find_backbone(model) == ('backbone', model.backbone)


def test_the_only_backbone_deeper_down_is_found():
    model = Tracker()
    assert find_backbone(model) == ('detector.backbone', model.detector.backbone)


def test_of_several_backbones_deeper_down_one_must_be_named():
    model = Semi()
    message = (
        'has no backbone of its own but 2 deeper down; write '
        "backbone='student.backbone' or backbone='teacher.backbone'"
    )
    with pytest.raises(ValueError, match=message):
        find_backbone(model)
    named = find_backbone(model, 'student.backbone')
    assert named == ('student.backbone', model.student.backbone)


def test_a_model_in_which_nothing_can_freeze_says_so():
    with pytest.raises(ValueError, match='nothing in it has frozen_stages'):
        find_backbone(nn.Sequential(nn.Conv2d(3, 3, 1)))


@pytest.mark.parametrize(
    ('name', 'is_one'),
    [
        ('backbone', True),
        ('student.backbone', True),
        ('img_backbone', True),
        ('backbone2', True),
        ('backbone.layer1', False),
        ('background', False),
    ],
)
def test_a_part_is_called_a_backbone_by_its_last_name(name, is_one):
    assert is_called_backbone(name) is is_one


def test_models_and_their_configs_are_searched_by_one_rule():
    from mmengine.config import Config

    from plugin.config.backbone import backbone_place
    from plugin.decay.layer_depth import find_backbones

    class Fusion(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(1, 1)
            self.img_backbone = RESNET.build(1)

    model = Fusion()
    assert find_backbone(model) == ('img_backbone', model.img_backbone)
    assert find_backbones(model) == {'img_backbone.': model.img_backbone}
    cfg = Config(
        dict(model=dict(head=dict(type='Head'), img_backbone=dict(type='mmdet.ResNet')))
    )
    assert backbone_place(cfg) == ('model.img_backbone', dict(type='mmdet.ResNet'))


def test_the_backbone_of_the_model_itself_is_meant_before_others():
    from mmengine.config import Config

    from plugin.config.backbone import backbone_place

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.extra_backbone = RESNET.build(1)
            self.backbone = RESNET.build(1)

    model = Both()
    assert find_backbone(model) == ('backbone', model.backbone)
    parts = dict(extra_backbone=dict(type='mmdet.A'), backbone=dict(type='mmdet.B'))
    place = backbone_place(Config(dict(model=parts)))
    assert place == ('model.backbone', dict(type='mmdet.B'))
