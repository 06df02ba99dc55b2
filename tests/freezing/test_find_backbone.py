import pytest
from freezable import FIRST
from torch import nn

from plugin.freezing.find_backbone import find_backbone

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
