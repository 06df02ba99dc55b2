"""The list of backbones."""

import importlib.util

import pytest
from torch import nn

from plugin.backbones import CATALOGUE
from plugin.probe import catalogue as module
from plugin.probe.catalogue import GROUPS, catalogue, timm_models
from plugin.registry import MODELS


def test_every_entry_of_the_catalogue_is_listed():
    listed = catalogue('plugin').groups
    assert listed == {'plugin': [f'plugin.{entry.name}' for entry in CATALOGUE]}


@pytest.mark.parametrize(
    ('library', 'some', 'none'),
    [
        ('mmdet', {'mmdet.ResNet', 'mmdet.HRNet'}, {'mmdet.FPN', 'mmdet.ConvNeXt'}),
        ('mmseg', {'mmseg.UNet', 'mmseg.STDCNet'}, {'mmseg.DeconvModule'}),
        ('mmyolo', {'mmyolo.YOLOv6CSPBep'}, {'mmyolo.BaseBackbone'}),
        ('mmpretrain', {'mmpretrain.ConvNeXt'}, {'mmpretrain.ImageClassifier'}),
    ],
)
def test_the_backbones_of_a_library_are_listed_and_nothing_else(library, some, none):
    import plugin.det  # noqa: F401  It puts our own into mmdet's registry.

    names = catalogue(library).groups[library]
    assert some <= set(names) and not none & set(names)
    assert names == sorted(names)


def test_all_groups_are_listed_in_order():
    there = [g for g in GROUPS if g != 'mmyolo' or importlib.util.find_spec(g)]
    assert list(catalogue().groups) == there


def test_a_library_that_is_missing_or_broken_is_reported(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        module, 'find_spec', lambda n: None if n == 'mmseg' else find(n)
    )

    def broken(name):
        raise TypeError('an Enum\nof transformers')

    monkeypatch.setattr(module, 'import_module', broken)
    found = catalogue('mmseg')
    assert (found.groups, found.missing) == ({}, {'mmseg': 'not installed'})
    found = catalogue('mmyolo')
    assert found.missing == {'mmyolo': 'not importable: TypeError: an Enum'}


def test_classes_of_the_users_own_are_listed_if_they_are_backbones(monkeypatch):
    class GivesMaps(nn.Module):
        def forward(self, x):
            return (x[..., ::4, ::4],)

    class TakesOutIndices(nn.Module):
        def __init__(self, depth, out_indices=(0, 1)):
            super().__init__()

    class MyNeck(nn.Module):
        def forward(self, maps):
            return tuple(m * 2 for m in maps[1:])

    class MyLoss(nn.Module):
        def __init__(self, weight):
            super().__init__()

    class NeverEnds(nn.Module):
        def forward(self, x):
            while True:
                x = x + 1

    monkeypatch.setattr(module, '_LONGEST_FORWARD', 0.5)
    own = (GivesMaps, TakesOutIndices, MyNeck, MyLoss, NeverEnds)
    for cls in own:
        MODELS.register_module(module=cls)
    try:
        listed = catalogue('own').groups['own']
    finally:
        for cls in own:
            del MODELS.module_dict[cls.__name__]
    assert {'plugin.GivesMaps', 'plugin.TakesOutIndices'} <= set(listed)
    assert not {'plugin.MyNeck', 'plugin.MyLoss', 'plugin.NeverEnds'} & set(listed)
    assert not {'plugin.ConvNeXt', 'mmdet.ResNet'} & set(listed)


def test_models_of_timm_are_found_by_pattern_by_part_and_by_tag():
    import timm

    found = timm_models('resnet1*')
    assert found == [f'timm:{name}' for name in timm.list_models('resnet1*')]
    assert 'timm:resnet18' in found
    assert 'timm:convnext_tiny_hnf' in timm_models('next_tiny')
    assert timm_models('*') == [f'timm:{name}' for name in timm.list_models()]
    tags = timm_models('resnet18.*')
    assert 'timm:resnet18.a1_in1k' in tags
    assert all(tag.startswith('timm:resnet18.') for tag in tags)


def test_a_pattern_that_nothing_matches_is_reported_with_the_nearest():
    with pytest.raises(ValueError, match='resnett50.* are timm:resnet50, '):
        timm_models('resnett50*')
