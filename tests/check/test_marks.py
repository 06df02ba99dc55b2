"""The mark of every rule's fixes: safe, or unsafe and left to the user.

A fix is safe where the config means the same after it, and now fits; it is unsafe where
it drops something, or chooses. A new rule belongs in ``MARKS``.
"""

import sys
from typing import NamedTuple

import pytest
from one_problem import DET, RETINANET, UPERNET, YOLO, write

from plugin.check import RULES
from plugin.check.fixing import fix

pytestmark = pytest.mark.slow

NAMES = [rule.name for rule in RULES]
VIT = (
    'model = dict(pretrained=None, backbone=dict(_delete_=True, '
    "type='TIMMBackbone', model_name='swin_tiny_patch4_window7_224', "
    'features_only=True, img_size=256), '
    'decode_head=dict(in_channels=[96, 192, 384, 768]), '
    'auxiliary_head=dict(in_channels=384))'
)
OWN_HOOK = """
from mmengine.hooks import Hook
from mmdet.registry import HOOKS

@HOOKS.register_module(name='HookOfMarks', force=True)
class UnfreezeBackboneEpochBasedHook(Hook):
    def __init__(self, unfreeze_epoch=1):
        self.unfreeze_epoch = unfreeze_epoch
    def before_train_epoch(self, runner):
        for param in runner.model.backbone.parameters():
            param.requires_grad = True
"""
OWN_NET = """
from torch import nn
from plugin.registry import MODELS

@MODELS.register_module(name='NetOfMarks', force=True)
class NetOfMarks(nn.Module):
    def __init__(self, size=None):
        super().__init__()
        self.size = size
        self.conv = nn.Conv2d(3, 8, 4, 4)
    def forward(self, x):
        assert self.size in (None, x.shape[-1])
        return (self.conv(x),)
"""


class Mark(NamedTuple):
    """A config in which ``rule`` offers a fix at ``key`` that has this mark."""

    rule: str
    safe: bool
    key: str
    text: str
    base: str = RETINANET


SAFE, UNSAFE = True, False
MARKS = (
    Mark('bases', SAFE, '_base_', '', RETINANET.replace('1x_coco', '1x_cooc')),
    Mark('bases', UNSAFE, '_base_', '', RETINANET.replace('r50_fpn_1x', 'r34')),
    Mark(
        'imports',
        SAFE,
        'custom_imports.allow_failed_imports',
        DET.replace('False', 'True'),
    ),
    Mark('imports', SAFE, 'custom_imports.imports', DET.replace('.det', '.dett')),
    Mark('imports', UNSAFE, 'custom_imports.imports', DET.replace('.det', '.detector')),
    Mark('default-scope', SAFE, 'default_scope', "default_scope = 'mmdetection'"),
    Mark(
        'default-scope',
        UNSAFE,
        'default_scope',
        "default_scope = 'mmdt'\nmodel = dict(type='OfNoLibrary')",
    ),
    Mark(
        'types',
        SAFE,
        'model.backbone.type',
        "model = dict(backbone=dict(type='ResNett'))",
    ),
    Mark(
        'types',
        SAFE,
        'model.backbone.type',
        "model = dict(backbone=dict(_delete_=True, type='ConvNeXt'))",
    ),
    Mark(
        'types',
        UNSAFE,
        'model.backbone.type',
        "model = dict(backbone=dict(type='ResidualNet'))",
    ),
    Mark(
        'arguments',
        SAFE,
        'model.backbone.deep_stemm',
        'model = dict(backbone=dict(deep_stemm=True))',
    ),
    Mark(
        'arguments',
        UNSAFE,
        'model.backbone.flavour',
        'model = dict(backbone=dict(flavour=1))',
    ),
    Mark('counts', SAFE, 'model.neck.num_outs', 'model = dict(neck=dict(num_outs=2))'),
    Mark(
        'counts',
        UNSAFE,
        'model.neck.start_level',
        'model = dict(neck=dict(start_level=7))',
    ),
    Mark(
        'refusals',
        SAFE,
        'model.backbone.type',
        'model = dict(backbone=dict(_delete_=True, '
        "type='mmyolo.YOLOv6EfficientRep', out_indices=(1, 2, 3, 4)))",
    ),
    Mark(
        'refusals',
        UNSAFE,
        'model.backbone.depth',
        'model = dict(backbone=dict(depth=51))',
    ),
    Mark(
        'backbone-forward',
        SAFE,
        'model.backbone.in_channels',
        'model = dict(backbone=dict(in_channels=4))',
    ),
    Mark(
        'backbone-forward',
        UNSAFE,
        'model.backbone.size',
        "custom_imports = dict(imports=['of_marks'], allow_failed_imports=False)\n"
        "model = dict(backbone=dict(_delete_=True, type='plugin.NetOfMarks', size=57), "
        "neck=dict(in_channels=[8], start_level=0, add_extra_convs='on_input'), "
        'bbox_head=dict(anchor_generator=dict(strides=[4, 8, 16, 32, 64])))',
    ),
    Mark(
        'layouts',
        SAFE,
        'model.backbone.gap_before_final_norm',
        'model = dict(backbone=dict(_delete_=True, '
        "type='mmpretrain.ConvNeXt', arch='tiny', out_indices=(0, 1, 2, 3)), "
        'neck=dict(in_channels=[96, 192, 384, 768]))',
    ),
    Mark('layouts', UNSAFE, 'model.backbone', VIT, UPERNET),
    Mark(
        'maps',
        SAFE,
        'model.neck.in_channels',
        'model = dict(backbone=dict(depth=18, init_cfg=None, frozen_stages=-1))',
    ),
    Mark(
        'maps',
        UNSAFE,
        'model.decode_head.in_channels',
        'model = dict(decode_head=dict(in_index=[0, 1, 2, 4]))',
        UPERNET,
    ),
    Mark(
        'part-inputs',
        SAFE,
        'model.semantic_head.in_channels',
        'model = dict(semantic_head=dict(in_channels=128))',
        'mmdet::panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py',
    ),
    Mark(
        'weights',
        SAFE,
        'model.backbone.init_cfg',
        'model = dict(backbone=dict(depth=18), '
        'neck=dict(in_channels=[64, 128, 256, 512]))',
    ),
    Mark(
        'weights',
        UNSAFE,
        'model.backbone.init_cfg.checkpoint',
        'model = dict(backbone=dict(init_cfg=dict('
        "checkpoint='torchvision://resnet5')))",
    ),
    Mark(
        'preprocess',
        SAFE,
        'model.data_preprocessor.bgr_to_rgb',
        'model = dict(data_preprocessor=dict(bgr_to_rgb=False))',
    ),
    Mark(
        'freeze',
        SAFE,
        'custom_hooks[0]',
        "custom_imports = dict(imports=['of_marks'], allow_failed_imports=False)\n"
        "custom_hooks = [dict(type='HookOfMarks')]",
    ),
    Mark(
        'freeze',
        UNSAFE,
        'custom_hooks[0].unfreeze_epoch',
        f"{DET}custom_hooks = [dict(type='UnfreezeBackboneEpochBasedHook', "
        'unfreeze_epoch=12)]',
    ),
    Mark(
        'decay',
        SAFE,
        'optim_wrapper.constructor',
        f'{DET}optim_wrapper = dict(paramwise_cfg=dict(decay_rate=0.9))',
    ),
    Mark(
        'decay',
        UNSAFE,
        'optim_wrapper.constructor',
        f"{YOLO}model = dict(backbone=dict(_delete_=True, type='plugin.ConvNeXt', "
        "arch='tiny', out_indices=(1, 2, 3)), neck=dict(in_channels=[192, 384, 768]))",
        'mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py',
    ),
    Mark(
        'classes',
        SAFE,
        'model.bbox_head.num_classes',
        "metainfo = dict(classes=('cat', 'dog'))\n"
        + '\n'.join(
            f'{mode}_dataloader = dict(dataset=dict(metainfo=metainfo))'
            for mode in ('train', 'val', 'test')
        ),
    ),
    Mark(
        'classes',
        UNSAFE,
        'model.bbox_head.num_classes',
        'model = dict(bbox_head=dict(num_classes=20))',
    ),
    Mark(
        'training-step',
        SAFE,
        'find_unused_parameters',
        "custom_imports = dict(imports=['mmpretrain.models', 'plugin.det'], "
        'allow_failed_imports=False)\n'
        'model = dict(backbone=dict(_delete_=True, '
        "type='mmpretrain.MobileNetV3', arch='small', out_indices=(3, 8, 11)), "
        'neck=dict(in_channels=[24, 48, 96], start_level=0))',
    ),
)
WITHOUT_FIX = ('size', 'unused-ignore')


@pytest.fixture
def config(request, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'of_marks.py').write_text(OWN_HOOK + OWN_NET)
    mark = request.param
    yield mark, write(tmp_path, mark.base, mark.text)
    if 'of_marks' in mark.text:
        from mmdet.registry import HOOKS

        from plugin.registry import MODELS

        sys.modules.pop('of_marks', None)
        HOOKS._module_dict.pop('HookOfMarks', None)
        MODELS._module_dict.pop('NetOfMarks', None)


@pytest.mark.parametrize(
    'config', MARKS, ids=lambda m: f'{m.rule}-{m.safe}-{m.key}', indirect=True
)
def test_a_fix_has_its_mark_and_is_made_once(config):
    mark, path = config
    how = dict(select={mark.rule}, step=mark.rule == 'training-step')
    made = fix(str(path), unsafe=not mark.safe, **how)
    # Made once, so what the rule finds in its place afterwards is nothing.
    problems = [done.problem for done in made.done if done.problem.key == mark.key]
    assert [(p.rule, p.safe) for p in problems] == [(mark.rule, mark.safe)]
    assert made.left == [] and made.after != made.before


def test_an_unsafe_fix_is_made_only_when_it_is_asked_for(tmp_path):
    """One for all rules: what is made is chosen by the mark alone."""
    text = 'model = dict(bbox_head=dict(num_classes=20), neck=dict(num_outs=2))'
    made = fix(str(write(tmp_path, RETINANET, text)), select={'classes', 'counts'})
    assert [done.problem.rule for done in made.done] == ['counts']
    assert b'num_classes=20' in made.after and b'num_outs=2' not in made.after


@pytest.mark.parametrize('rule', RULES, ids=NAMES)
def test_the_marks_that_a_page_speaks_of_are_tried(rule):
    marks = {mark.safe for mark in MARKS if mark.rule == rule.name}
    assert bool(marks) is (rule.name not in WITHOUT_FIX)
    words = rule.fix.lower()
    spoken = {SAFE} if ' safe' in words or words.startswith('safe') else set()
    spoken |= {UNSAFE} if 'unsafe' in words else set()
    assert spoken == marks
