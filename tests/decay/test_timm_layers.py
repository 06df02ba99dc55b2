import re
import sys

import pytest
import timm
import torch
from timm.optim import param_groups_layer_decay
from torch import nn

from plugin.decay.layer_depth import layer_depths

RATE = 0.75
MODELS = ('resnet50', 'convnext_tiny', 'vit_small_patch16_224')
# One of each way in which timm cuts a model apart, beside those.
MORE = (
    'efficientnet_b0',
    'mobilenetv3_small_100',
    'hrnet_w18_small',
    'swin_tiny_patch4_window7_224',
    'legacy_xception',
    'cait_xxs24_224',
)


class Wrapper(nn.Module):
    """Stand in for the TIMMBackbone of mmseg and mmpretrain."""

    def __init__(self, name: str, **kwargs):
        super().__init__()
        with torch.device('meta'):
            self.timm_model = timm.create_model(name, **kwargs)


def scales_of_timm(name: str) -> dict[str, float]:
    """timm's own scale of each parameter of the full model."""
    with torch.device('meta'):
        full = timm.create_model(name)
    groups = param_groups_layer_decay(full, layer_decay=RATE)
    scale = {p: group['lr_scale'] for group in groups for p in group['params']}
    return {name: scale[param] for name, param in full.named_parameters()}


def name_in_full(name: str) -> str:
    """Undo what features_only did to a name."""
    name = re.sub(r'^timm_model\.', '', name)
    name = re.sub(r'^(model|body)\.', '', name)
    return re.sub(r'^(stem|stages|layers|blocks)_(\d+)\.', r'\1.\2.', name)


def assert_equal_to_timm(wrapper: nn.Module, name: str) -> None:
    expected = scales_of_timm(name)
    found = layer_depths(wrapper)
    scales = {
        name_in_full(name): RATE ** (found.head - depth)
        for name, depth in found.depths.items()
    }
    assert scales == {name: expected[name] for name in scales}
    assert len(scales) == sum(1 for _ in wrapper.parameters()) > 0


@pytest.mark.parametrize('features_only', [True, False])
@pytest.mark.parametrize('name', MODELS + MORE)
def test_rates_are_those_of_timm(name, features_only):
    if features_only:
        wrapper = Wrapper(name, features_only=True)
    else:
        wrapper = Wrapper(name, num_classes=0)
    assert_equal_to_timm(wrapper, name)


@pytest.mark.parametrize('library', ['mmpretrain', 'mmseg', 'plugin'])
@pytest.mark.parametrize('name', MODELS)
def test_rates_are_those_of_timm_in_the_wrapper_of(library, name):
    if library == 'plugin':
        from plugin.backbones.timm_backbone import TIMMBackbone
    elif library == 'mmseg':
        from mmseg.models.backbones import TIMMBackbone
    else:
        from mmpretrain.models.backbones import TIMMBackbone
    backbone = TIMMBackbone(name, features_only=True, pretrained=False)
    assert_equal_to_timm(backbone, name)


def test_stages_are_timm_s_coarse_groups():
    found = layer_depths(Wrapper('resnet50', features_only=True), 'stage_wise')
    names = ['conv1', 'layer1.2.conv1', 'layer2.0.conv3', 'layer4.2.conv1']
    depths = [found.depths[f'timm_model.{name}.weight'] for name in names]
    assert depths == [0, 1, 2, 4]
    assert (found.head, found.source) == (5, "timm's group_matcher")


def test_a_model_that_timm_builds_without_a_head_has_a_depth_for_it():
    # Its twelve blocks would else be at most at the base rate, as in timm itself.
    found = layer_depths(Wrapper('vit_tiny_patch16_dinov3_qkvb', features_only=True))
    assert found.head == 13
    assert max(found.depths.values()) == 12


def test_layers_cut_off_by_out_indices_leave_the_depths_of_the_others():
    whole = layer_depths(Wrapper('convnext_tiny', features_only=True))
    cut = layer_depths(Wrapper('convnext_tiny', features_only=True, out_indices=(0, 1)))
    assert cut.head == whole.head
    assert cut.depths == {name: whole.depths[name] for name in cut.depths}
    assert len(cut.depths) < len(whole.depths)


@pytest.mark.parametrize('depths', [(3, 3, 3, 3), (3, 3, 12, 3)])
def test_arguments_that_change_the_layers_are_an_error_unless_they_are_known(depths):
    wrapper = Wrapper('convnext_tiny', features_only=True, depths=depths)
    with pytest.raises(ValueError):
        layer_depths(wrapper)
    wrapper.timm_kwargs = dict(depths=depths)
    found = layer_depths(wrapper)
    assert set(found.depths.values()) == set(range(sum(depths) + 1))
    assert found.num_layers == sum(depths)


def test_the_error_for_a_layer_that_is_missing_says_what_to_write():
    wrapper = Wrapper('convnext_tiny', features_only=True, depths=(3, 3, 3, 3))
    with pytest.raises(ValueError, match=r"lacks \[10, .*'plugin.TIMMBackbone'"):
        layer_depths(wrapper)


def test_a_family_without_a_matcher_has_its_stages_counted():
    found = layer_depths(Wrapper('poolformer_s12', features_only=True))
    assert (found.num_layers, found.source) == (12, 'its stages')


def test_the_seed_of_the_training_is_left_alone():
    backbone = Wrapper('resnet18', features_only=True)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    layer_depths(backbone)
    assert torch.equal(torch.rand(3), expected)


def test_timm_is_imported_only_for_a_timm_model(monkeypatch):
    monkeypatch.setitem(sys.modules, 'timm', None)
    monkeypatch.setitem(sys.modules, 'timm.models', None)
    layers = nn.ModuleList(nn.Conv2d(3, 3, 1) for _ in range(3))
    backbone = nn.Module()
    backbone.layers = layers
    assert layer_depths(backbone).num_layers == 3


@pytest.mark.wide
@pytest.mark.slow
def test_rates_are_those_of_timm_for_every_family():
    families = {}
    for name in timm.list_models():
        families.setdefault(timm.models.model_entrypoint(name).__module__, name)
    compared = 0
    for name in families.values():
        try:
            with torch.device('meta'):
                full = timm.create_model(name)
            wrapper = Wrapper(name, features_only=True)
        except RuntimeError:
            continue
        # Without a head, timm has the last block at the base rate. See above.
        if (
            hasattr(full, 'group_matcher')
            and full.num_classes
            and 'iformer' not in name
        ):
            expected = {_flat(n): s for n, s in scales_of_timm(name).items()}
            found = layer_depths(wrapper)
            for own_name, depth in found.depths.items():
                inner = own_name.removeprefix('timm_model.')
                keys = [_flat(inner), _flat(re.sub(r'^(model|body)\.', '', inner))]
                scale = next(expected[key] for key in keys if key in expected)
                assert RATE ** (found.head - depth) == scale, (name, own_name)
            compared += 1
    assert compared > 60


def _flat(name: str) -> str:
    return name.replace('.', '_')
