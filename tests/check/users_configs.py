"""Configs as users write and break them, each with only safe fixes to be made.

``{root}`` is this repository. All train on the generated shapes once they are fixed.
"""

from __future__ import annotations

RETINANET = "'{root}/configs/det/_base_/retinanet_shapes.py'"
DEMO = "'{root}/configs/det/retinanet_timm-resnet10t_fpn_1xb8-14e_shapes.py'"
MASK_RCNN = "'{root}/configs/det/mask-rcnn_timm-resnet10t_fpn_1xb8-10e_shapes.py'"
YOLOX = "'{root}/configs/det/yolox_s_timm-resnet10t_pafpn_1xb8-14e_shapes.py'"
UPERNET_BASE = "'{root}/configs/seg/_base_/upernet_shapes.py'"
UPERNET = "'{root}/configs/seg/upernet_timm-resnet10t_1xb8-1k_shapes.py'"
DET = "custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)\n"
SEG = DET.replace('det', 'seg')

# (library's folder, text) by what the user did.
CONFIGS = {
    'swapped the backbone and nothing else': (
        'det',
        f"""\
_base_ = {RETINANET}
{DET}
# A smaller network than the base's.
model = dict(
    backbone=dict(
        _delete_=True,
        type='plugin.TIMMBackbone',
        model_name='resnet10t',  # the smallest
        out_indices=(2, 3, 4)),
)
""",
    ),
    'swapped it on one line': (
        'det',
        f"""\
_base_ = {RETINANET}
{DET}model = dict(backbone=dict(_delete_=True, type='plugin.TIMMBackbone', \
model_name='resnet10t', out_indices=(2, 3, 4)))  # one line
""",
    ),
    'kept the channels of another network': (
        'det',
        f"""\
_base_ = {DEMO}
# Of ResNet-50.
model = dict(neck=dict(in_channels=[512, 1024, 2048]))
""",
    ),
    'wrote the channels once, as a variable': (
        'seg',
        f"""\
_base_ = {UPERNET}
channels = [256, 512, 1024, 2048]  # of ResNet-50
model = dict(
    decode_head=dict(in_channels=channels),
)
""",
    ),
    'forgot the auxiliary head': (
        'seg',
        f"""\
_base_ = {UPERNET_BASE}
{SEG}model = dict(
    backbone=dict(
        _delete_=True,
        type='plugin.TIMMBackbone',
        model_name='resnet10t',
        out_indices=(1, 2, 3, 4),
    ),
    decode_head=dict(in_channels=[64, 128, 256, 512]),  # but not the other one
)
""",
    ),
    'forgot the head behind a narrower neck': (
        'det',
        f"""\
_base_ = {DEMO}
model = dict(neck=dict(out_channels=64))
""",
    ),
    'forgot the import': (
        'det',
        f"""\
_base_ = {RETINANET}
model = dict(
    backbone=dict(
        _delete_=True, type='TIMMBackbone', model_name='resnet10t',
        out_indices=(2, 3, 4)),
    neck=dict(in_channels=[128, 256, 512]))
""",
    ),
    'misspelt the import': (
        'det',
        f"""\
_base_ = {DEMO}
custom_imports = dict(
    imports=['plugin.dett'],  # ours
    allow_failed_imports=False)
""",
    ),
    'allowed imports to fail, and kept 80 classes': (
        'det',
        f"""\
_base_ = {DEMO}
{DET.replace('False', 'True')}
model = dict(bbox_head=dict(num_classes=80))
""",
    ),
    'has one number of classes for two heads': (
        'det',
        f"""\
_base_ = {MASK_RCNN}
num_classes = 80
model = dict(
    roi_head=dict(
        bbox_head=dict(num_classes=num_classes),
        mask_head=dict(num_classes=num_classes),
    ),
)
""",
    ),
    'misspelt a loss': (
        'det',
        f"""\
_base_ = {DEMO}
model = {{
    'bbox_head': {{
        # As in the paper.
        'loss_cls': {{'type': 'FocalLos', 'gamma': 2.0}},
    }},
}}
""",
    ),
    'misspelt an argument': (
        'det',
        f"""\
_base_ = {DEMO}
model = dict(
    neck=dict(
        upsample_cf=dict(mode='nearest')))  # not bilinear
""",
    ),
    'misspelt a scheduler in a list': (
        'det',
        f"""\
_base_ = {DEMO}
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=5),
    # Near the end.
    dict(type='MultiStepLr', milestones=[8, 11], gamma=0.1),
]
""",
    ),
    'copied a pipeline of 1.x': (
        'det',
        f"""\
_base_ = {DEMO}
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(160, 128), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='Collect'),  # was: DefaultFormatBundle, Collect
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
""",
    ),
    'named a library of 1.x': (
        'det',
        f"""\
_base_ = {RETINANET}
model = dict(
    backbone=dict(
        _delete_=True, type='mmcls.ResNet', depth=18, out_indices=(1, 2, 3)),
    neck=dict(in_channels=[128, 256, 512]))
""",
    ),
    'has too few outputs of the neck': (
        'det',
        f"""\
_base_ = {DEMO}
model = dict()
model['neck'] = dict(num_outs=2)
""",
    ),
    'feeds BGR to weights for RGB': (
        'det',
        f"""\
_base_ = {DEMO}
model = dict(
    data_preprocessor=dict(bgr_to_rgb=False),  # OpenCV reads BGR
    backbone=dict(model_name='resnet10t.c3_in1k', pretrained=True),
)
""",
    ),
    'set a decay that nothing reads': (
        'det',
        f"""\
_base_ = {DEMO}
optim_wrapper = dict(
    paramwise_cfg=dict(decay_rate=0.9, norm_decay_mult=0.0),
)
""",
    ),
    'left a `_delete_` where nothing is': (
        'det',
        f"""\
_base_ = {DEMO}
custom_hooks = [dict(type='EMAHook', _delete_=True, momentum=0.01)]
""",
    ),
    'misspelt the base': (
        'det',
        f"""\
# Mine.
_base_ = {DEMO.replace('_shapes', '_shape')}
model = dict(neck=dict(in_channels=[64, 128, 256]))
""",
    ),
    'has the head of a smaller YOLOX, and lines that end as on Windows': (
        'det',
        f"""\
_base_ = {YOLOX}\r
model = dict(\r
    bbox_head=dict(in_channels=96),  # tiny\r
)\r
""",
    ),
    'writes in the pure-Python style': (
        'det',
        """\
from mmengine.config import read_base

with read_base():
    from .pure_base import *

# Of ResNet-50.
model.neck.update(dict(in_channels=[512, 1024, 2048], num_outs=3))
""",
    ),
}
