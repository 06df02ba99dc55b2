"""The contents of every ready config, found by walking ``configs/``."""

import re
from importlib import import_module

import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner.checkpoint import get_torchvision_models
from ready_configs import LIBRARIES, READY, change, innermost, load, offline, task
from timm import get_pretrained_cfg

from plugin.measure.build import build_on_meta
from plugin.spec import FeatureSpec, mismatches
from plugin.weights.files.package_files import in_package

# As on the usual servers: a path without blanks, and a hash before the ending.
URL = re.compile(r'https://[a-z0-9.-]+\.[a-z]+/\S+/[\w.-]+\.pth')


@pytest.fixture(params=READY)
def name(request):
    return request.param


def build(cfg, part):
    """Build the model or its backbone without memory for weights."""
    init_default_scope(cfg.default_scope)
    import_module(f'{cfg.default_scope}.models')
    model = offline(cfg).model
    if part == 'backbone':
        return build_on_meta(lambda: MODELS.build(model.backbone))
    if 'data_preprocessor' in cfg:
        model.setdefault('data_preprocessor', cfg.data_preprocessor)
    return build_on_meta(lambda: MODELS.build(model))


def given(backbone, size=64):
    """Channels and strides of what one forward gives; no strides for vectors."""
    backbone.eval()
    with torch.no_grad():
        maps = backbone(torch.zeros(1, 3, size, size, device='meta'))
    return FeatureSpec(
        channels=tuple(m.shape[1] for m in maps),
        strides=tuple(size // m.shape[-1] for m in maps if m.ndim == 4),
    )


def test_channels_strides_and_number_of_maps_are_what_the_backbone_gives(name):
    cfg = load(name)
    slots = import_module(f'plugin.{task(name)}.wiring').slots(cfg.model)
    # The demos leave some strides to the defaults of the classes.
    # The DETR family has none, and segmentors neither.
    has_strides = task(name) in ('det', 'yolo') and cfg.model.type != 'DINO'
    wanted = {'channels'} | ({'strides'} if has_strides else set())
    assert {slot.kind for slot in slots} == wanted or '_shapes' in name and slots
    assert mismatches(slots, given(build(cfg, 'backbone'))) == []


@pytest.mark.slow
def test_the_model_builds_as_it_is_written(name):
    model = build(load(name), 'model')
    assert hasattr(model, 'backbone')


def test_a_plugin_that_can_not_be_imported_is_an_error(name):
    imports = load(name).custom_imports
    assert imports.allow_failed_imports is False
    assert imports.imports == [f'plugin.{task(name)}']


def test_the_base_is_of_the_library(name):
    assert load(name).default_scope == LIBRARIES[task(name)]


def test_weights_are_at_a_well_formed_address(name):
    found = []
    change(load(name).model, lambda node: found.append(node.get('init_cfg')))
    for init_cfg in filter(None, found):
        if init_cfg.get('type') != 'Pretrained':
            continue
        checkpoint = init_cfg.checkpoint
        if checkpoint.startswith('torchvision://'):
            checkpoint = get_torchvision_models()[checkpoint.partition('://')[2]]
        if checkpoint.startswith('package://'):
            assert in_package(checkpoint).is_file()
        else:
            assert URL.fullmatch(checkpoint)


def test_files_of_whole_models_are_read_by_prefix(name):
    """Without it mmengine would load nothing, and only warn."""
    init_cfg = innermost(load(name).model.backbone).get('init_cfg') or {}
    whole = 'download.openmmlab.com' in init_cfg.get('checkpoint', '')
    assert init_cfg.get('prefix') == ('backbone.' if whole else None)


def test_nothing_of_the_bases_backbone_is_left(name):
    """mmseg would load ``pretrained`` of the base into any backbone."""
    assert load(name).model.get('pretrained') is None


IMAGENET = (123.675, 58.395)  # mean and std of red on the 0 to 255 scale


def test_images_are_normalized_as_for_the_weights(name):
    cfg = load(name)
    backbone = innermost(cfg.model.backbone)
    preprocessor = cfg.model.get('data_preprocessor') or cfg.data_preprocessor
    rgb = preprocessor.get('bgr_to_rgb', preprocessor.get('to_rgb', False))
    red = 0 if rgb else 2
    got = (preprocessor.mean[red], preprocessor.std[red], rgb)
    checkpoint = (backbone.get('init_cfg') or {}).get('checkpoint', '')
    if checkpoint.startswith('package://'):
        # Weights that timm has too, under a name without a tag.
        weights = get_pretrained_cfg(backbone.model_name)
        wanted = (255 * weights.mean[0], 255 * weights.std[0], True)
    elif backbone.get('pretrained'):
        assert '.' in backbone.model_name, 'a name without a tag may change its weights'
        weights = get_pretrained_cfg(backbone.model_name)
        wanted = (255 * weights.mean[0], 255 * weights.std[0], True)
    elif backbone.get('init_cfg') is None:
        wanted = got  # There are no weights to be as for.
    elif backbone.type == 'mmpretrain.RegNet':
        wanted = (*IMAGENET, False)
    else:
        wanted = (*IMAGENET, True)
    assert got == pytest.approx(wanted)


def test_a_cosine_without_an_end_is_as_long_as_the_training(name):
    """A longer training than that of the base would raise the rate again."""
    cfg = load(name)
    epochs = cfg.train_cfg.get('max_epochs')
    for scheduler in cfg.get('param_scheduler') or ():
        if scheduler['type'] == 'CosineAnnealingLR' and 'end' not in scheduler:
            if scheduler.get('by_epoch', True) and 'T_max' in scheduler:
                assert scheduler.get('begin', 0) + scheduler['T_max'] == epochs
