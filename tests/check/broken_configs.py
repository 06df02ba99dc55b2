"""Configs that are each wrong in one way, as users get them wrong.

``BASE`` is what a config inherits from; ``{root}`` is this repository, ``{here}`` the
folder that the config is in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

RETINANET = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
FASTER_RCNN = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
MASK_RCNN = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'
YOLOX = 'mmdet::yolox/yolox_s_8xb8-300e_coco.py'
RTMDET = 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py'
UPERNET = 'mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py'
PSPNET = 'mmseg::pspnet/pspnet_r50-d8_4xb4-80k_ade20k-512x512.py'
YOLOV5 = 'mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py'
YOLOV8 = 'mmyolo::yolov8/yolov8_s_syncbn_fast_8xb16-500e_coco.py'
YOLO_RTMDET = 'mmyolo::rtmdet/rtmdet_s_syncbn_fast_8xb32-300e_coco.py'
RETINANET_CONVNEXT = '{root}/configs/det/retinanet_convnext-tiny_fpn_8xb2-12e_coco.py'
RETINANET_TIMM = '{root}/configs/det/retinanet_timm-resnet10t_fpn_1xb8-14e_shapes.py'
YOLOX_CSPRESNEXT = '{root}/configs/det/yolox_s_cspresnext50_pafpn_8xb8-300e_coco.py'
MASK_RCNN_CONVNEXT = (
    '{root}/configs/det/mask-rcnn_convnext-tiny_fpn_8xb2-amp-ms-crop-3x_coco.py'
)
MASK_RCNN_SHAPES = '{root}/configs/det/mask-rcnn_timm-resnet10t_fpn_1xb8-10e_shapes.py'
UPERNET_CONVNEXT = (
    '{root}/configs/seg/upernet_convnext-tiny_8xb2-amp-160k_ade20k-512x512.py'
)
UPERNET_TIMM = (
    '{root}/configs/seg/upernet_timm-efficientnetv2-s_4xb4-80k_ade20k-512x512.py'
)
UPERNET_SHAPES = '{root}/configs/seg/upernet_timm-resnet10t_1xb8-1k_shapes.py'
YOLOV5_R50 = '{root}/configs/yolo/yolov5_s_r50_pafpn_8xb16-300e_coco.py'
YOLOV5_TIMM = (
    '{root}/configs/yolo/yolov5_s_timm-efficientnet-b1_pafpn_8xb16-300e_coco.py'
)
YOLOV5_SWIN = '{root}/configs/yolo/yolov5_s_swin-tiny_pafpn_8xb16-300e_coco.py'
CLASSIFIER = '{root}/configs/cls/convnext-tiny_8xb128_in1k.py'

DET = "custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)\n"
SEG = "custom_imports = dict(imports=['plugin.seg'], allow_failed_imports=False)\n"
YOLO = "custom_imports = dict(imports=['plugin.yolo'], allow_failed_imports=False)\n"


@dataclass(frozen=True)
class Broken:
    """One config.

    Attributes:
        name: What is wrong, as the test's name.
        kind: What ``check`` calls it.
        key: Where it must be found.
        base: What the config inherits from.
        text: What it writes itself.
        severity: ``error`` or ``warning``.
        beside: Makes files in the config's folder.
    """

    name: str
    kind: str
    key: str
    base: str
    text: str
    severity: str = 'error'
    beside: Callable[[Path], None] | None = None

    def write(self, folder: Path, root: Path) -> Path:
        """Write the config into ``folder`` and return its path."""
        if self.beside:
            self.beside(folder)
        text = f'_base_ = {self.base!r}\n{self.text}\n'
        if self.base.startswith('['):
            text = f'_base_ = {self.base}\n{self.text}\n'
        path = folder / 'config.py'
        text = text.replace('{root}', str(root)).replace('{here}', str(folder))
        path.write_text(text)
        return path


def whole_detector(folder: Path) -> None:
    """Write ``det.pth``, whose backbone is under ``backbone.``"""
    from mmengine.registry import MODELS

    import plugin.det  # noqa: F401

    backbone = MODELS.build(dict(type='mmdet.ResNet', depth=18))
    state = {f'backbone.{k}': v for k, v in backbone.state_dict().items()}
    torch.save({'state_dict': state}, folder / 'det.pth')


def own_backbone(folder: Path) -> None:
    """A backbone of the user's own, which knows nothing of freezing."""
    (folder / 'own_net.py').write_text(
        'from torch import nn\n'
        'from plugin.registry import MODELS\n'
        '@MODELS.register_module(force=True)\n'
        'class OwnNet(nn.Module):\n'
        '    def __init__(self):\n'
        '        super().__init__()\n'
        '        self.stages = nn.ModuleList(\n'
        '            nn.Conv2d(a, b, 3, s, 1)\n'
        '            for a, b, s in [(3, 8, 4), (8, 16, 2), (16, 32, 2), (32, 64, 2)]\n'
        '        )\n'
        '    def forward(self, x):\n'
        '        maps = []\n'
        '        for stage in self.stages:\n'
        '            x = stage(x)\n'
        '            maps.append(x)\n'
        '        return tuple(maps)\n'
    )


def failing_module(folder: Path) -> None:
    (folder / 'my_net.py').write_text('import a_package_that_is_not_there\n')


IMAGENET = "init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50')"
BACKBONE = 'model = dict(backbone=dict(_delete_=True, {}))'

BROKEN = (
    # channels
    Broken(
        'a shallower ResNet under the neck of a ResNet-50',
        'channels',
        'model.neck.in_channels',
        RETINANET,
        'model = dict(backbone=dict(depth=18, init_cfg=None, frozen_stages=-1))',
    ),
    Broken(
        'a larger variant under the neck of a smaller one',
        'channels',
        'model.neck.in_channels',
        RETINANET_CONVNEXT,
        "model = dict(backbone=dict(arch='base', init_cfg=None, frozen_stages=-1))",
    ),
    Broken(
        'an RPN that takes other channels than the neck gives',
        'channels',
        'model.rpn_head.in_channels',
        FASTER_RCNN,
        'model = dict(rpn_head=dict(in_channels=128))',
    ),
    Broken(
        'RoIs of other channels than the neck gives',
        'channels',
        'model.roi_head.bbox_roi_extractor.out_channels',
        MASK_RCNN,
        'model = dict(roi_head=dict(bbox_roi_extractor=dict(out_channels=128)))',
    ),
    Broken(
        'the channels of YOLOX-tiny in the neck of YOLOX-s',
        'channels',
        'model.neck.in_channels',
        YOLOX,
        'model = dict(neck=dict(in_channels=[96, 192, 384]))',
    ),
    Broken(
        'the head of YOLOX-tiny on the neck of YOLOX-s',
        'channels',
        'model.bbox_head.in_channels',
        YOLOX,
        'model = dict(bbox_head=dict(in_channels=96))',
    ),
    Broken(
        'a decode head for another backbone',
        'channels',
        'model.decode_head.in_channels',
        UPERNET_CONVNEXT,
        'model = dict(decode_head=dict(in_channels=[128, 256, 512, 1024]))',
    ),
    Broken(
        'an auxiliary head that was forgotten',
        'channels',
        'model.auxiliary_head.in_channels',
        UPERNET_CONVNEXT,
        'model = dict(auxiliary_head=dict(in_channels=1024))',
    ),
    Broken(
        'the third map for the fourth',
        'channels',
        'model.decode_head.in_channels',
        PSPNET,
        'model = dict(decode_head=dict(in_channels=1024))',
    ),
    Broken(
        'the second of two auxiliary heads',
        'channels',
        'model.auxiliary_head[1].in_channels',
        PSPNET,
        "head = dict(type='FCNHead', channels=64, num_classes=150)\n"
        'model = dict(auxiliary_head=[dict(in_channels=512, in_index=1, **head), '
        'dict(in_channels=512, in_index=2, **head)])',
    ),
    Broken(
        'the head module of YOLOv8 for another width',
        'channels',
        'model.bbox_head.head_module.in_channels',
        YOLOV8,
        'model = dict(bbox_head=dict(head_module=dict(in_channels=[128, 256, 512])))',
    ),
    Broken(
        'the neck of RTMDet for another width',
        'channels',
        'model.neck.in_channels',
        YOLO_RTMDET,
        'model = dict(neck=dict(in_channels=[128, 256, 512]))',
    ),
    Broken(
        'a classifier for a larger backbone',
        'channels',
        'model.head.in_channels',
        CLASSIFIER,
        'model = dict(head=dict(in_channels=1024))',
    ),
    # levels
    Broken(
        'three maps for a neck of four',
        'levels',
        'model.neck.in_channels',
        FASTER_RCNN,
        'model = dict(backbone=dict(out_indices=(0, 1, 2)))',
    ),
    Broken(
        'four outputs for anchors of five strides',
        'levels',
        'model.bbox_head.anchor_generator.strides',
        RETINANET,
        'model = dict(neck=dict(num_outs=4))',
    ),
    Broken(
        'a head that reads a fifth map of four',
        'levels',
        'model.decode_head.in_channels',
        UPERNET,
        'model = dict(decode_head=dict(in_index=[0, 1, 2, 4]))',
    ),
    Broken(
        'an auxiliary head that reads past the last map',
        'levels',
        'model.auxiliary_head.in_channels',
        PSPNET,
        'model = dict(auxiliary_head=dict(in_index=4))',
    ),
    # strides
    Broken(
        'anchors one level too fine',
        'strides',
        'model.bbox_head.anchor_generator.strides',
        RETINANET,
        'model = dict(bbox_head=dict(anchor_generator=dict('
        'strides=[4, 8, 16, 32, 64])))',
    ),
    Broken(
        'the neck begins one map earlier than the anchors',
        'strides',
        'model.bbox_head.anchor_generator.strides',
        RETINANET,
        'model = dict(neck=dict(start_level=0))',
    ),
    Broken(
        'RoIs taken from maps of other strides',
        'strides',
        'model.roi_head.bbox_roi_extractor.featmap_strides',
        FASTER_RCNN,
        'model = dict(roi_head=dict(bbox_roi_extractor=dict('
        'featmap_strides=[8, 16, 32, 64])))',
    ),
    Broken(
        'priors of other strides than the maps',
        'strides',
        'model.bbox_head.prior_generator.strides',
        YOLOV5,
        'model = dict(bbox_head=dict(prior_generator=dict(strides=[4, 8, 16])))',
    ),
    Broken(
        "RTMDet's points of other strides",
        'strides',
        'model.bbox_head.anchor_generator.strides',
        RTMDET,
        'model = dict(bbox_head=dict(anchor_generator=dict(strides=[4, 8, 16])))',
    ),
    # layout
    Broken(
        "mmpretrain's ConvNeXt with its pooled last map",
        'layout',
        'model.backbone.gap_before_final_norm',
        RETINANET,
        "model = dict(backbone=dict(_delete_=True, type='mmpretrain.ConvNeXt', "
        "arch='tiny', out_indices=(0, 1, 2, 3)), "
        'neck=dict(in_channels=[96, 192, 384, 768]))',
    ),
    Broken(
        'a ViT that gives its class token',
        'layout',
        'model.backbone.out_type',
        PSPNET,
        'model = dict(pretrained=None, backbone=dict(_delete_=True, '
        "type='mmpretrain.VisionTransformer', arch='deit-tiny', img_size=512), "
        'decode_head=dict(in_index=0, in_channels=192), auxiliary_head=None)',
    ),
    Broken(
        "channels last, from mmsegmentation's own TIMMBackbone",
        'layout',
        'model.backbone',
        UPERNET,
        'model = dict(pretrained=None, backbone=dict(_delete_=True, '
        "type='TIMMBackbone', model_name='swin_tiny_patch4_window7_224', "
        'features_only=True, img_size=256), '
        'decode_head=dict(in_channels=[96, 192, 384, 768]), '
        'auxiliary_head=dict(in_channels=384))',
    ),
    # registry
    Broken(
        'a misspelt backbone',
        'registry',
        'model.backbone.type',
        RETINANET,
        "model = dict(backbone=dict(type='ResNett'))",
    ),
    Broken(
        'a backbone by its old scope mmcls',
        'registry',
        'model.backbone.type',
        RETINANET,
        "model = dict(backbone=dict(type='mmcls.ResNet'))",
    ),
    Broken(
        'a backbone by its old scope mmselfsup',
        'registry',
        'model.backbone.type',
        FASTER_RCNN,
        "model = dict(backbone=dict(type='mmselfsup.ResNet'))",
    ),
    Broken(
        'a backbone that another library has',
        'registry',
        'model.backbone.type',
        RETINANET,
        "model = dict(backbone=dict(_delete_=True, type='MobileOne', arch='s0', "
        'out_indices=(0, 1, 2, 3)), neck=dict(in_channels=[48, 128, 256, 1024]))',
    ),
    Broken(
        'a misspelt hook',
        'registry',
        'custom_hooks[0].type',
        RETINANET,
        DET + "custom_hooks = [dict(type='UnfreezeBackboneEpochHook')]",
    ),
    Broken(
        'a misspelt transform',
        'registry',
        'train_dataloader.dataset.pipeline[1].type',
        RETINANET,
        'train_dataloader = dict(dataset=dict(pipeline=['
        "dict(type='LoadImageFromFile'), dict(type='PackDetInput')]))",
    ),
    Broken(
        'a misspelt optimizer',
        'registry',
        'optim_wrapper.optimizer.type',
        RETINANET,
        "optim_wrapper = dict(optimizer=dict(type='SDG'))",
    ),
    Broken(
        'a misspelt metric',
        'registry',
        'val_evaluator.type',
        RETINANET,
        "val_evaluator = dict(type='CocoMetrics')",
    ),
    Broken(
        'our backbone without the import',
        'registry',
        'model.backbone.type',
        RETINANET,
        "model = dict(backbone=dict(_delete_=True, type='ConvNeXt', arch='tiny'), "
        'neck=dict(in_channels=[96, 192, 384, 768]))',
    ),
    # argument
    Broken(
        'a misspelt argument of the backbone',
        'argument',
        'model.backbone.norm_evall',
        RETINANET,
        'model = dict(backbone=dict(norm_evall=True))',
    ),
    Broken(
        'CSPResNeXt with the arch of the tutorial',
        'argument',
        'model.backbone.arch',
        YOLOX,
        "model = dict(backbone=dict(_delete_=True, type='mmpretrain.CSPResNeXt', "
        'depth=50, arch=50, out_indices=(1, 2, 3)), '
        'neck=dict(in_channels=[512, 1024, 2048]))',
    ),
    Broken(
        'a misspelt argument of the neck',
        'argument',
        'model.neck.num_out',
        RETINANET,
        'model = dict(neck=dict(num_out=5))',
    ),
    Broken(
        'an argument of a hook in the plural',
        'argument',
        'custom_hooks[0].unfreeze_epochs',
        FASTER_RCNN,
        DET + "custom_hooks = [dict(type='UnfreezeBackboneEpochBasedHook', "
        'unfreeze_epochs=1)]',
    ),
    Broken(
        'an optimizer setting with a typing error',
        'argument',
        'optim_wrapper.optimizer.weight_decays',
        RETINANET,
        'optim_wrapper = dict(optimizer=dict(weight_decays=0.1))',
    ),
    Broken(
        'a depth that ResNet has not',
        'argument',
        'model.backbone.depth',
        RETINANET,
        'model = dict(backbone=dict(depth=51))',
    ),
    Broken(
        'a timm model that does not exist',
        'argument',
        'model.backbone.model_name',
        RETINANET_TIMM,
        "model = dict(backbone=dict(model_name='resnet10tt'))",
    ),
    # base
    Broken(
        'a base beside that is not there',
        'base',
        '_base_',
        '{root}/configs/det/retinanet_convnext-tiny_fpn_8xb2-12e.py',
        '',
    ),
    Broken(
        'a base of mmdet that is not there',
        'base',
        '_base_',
        'mmdet::retinanet/retinanet_r50_fpn_1x.py',
        '',
    ),
    Broken(
        'the second of two bases',
        'base',
        '_base_',
        "['mmdet::_base_/models/retinanet_r50_fpn.py', "
        "'mmdet::_base_/datasets/coco_detections.py', "
        "'mmdet::_base_/schedules/schedule_1x.py', "
        "'mmdet::_base_/default_runtime.py']",
        '',
    ),
    # import
    Broken(
        'a misspelt task package',
        'import',
        'custom_imports.imports',
        RETINANET,
        "custom_imports = dict(imports=['plugin.dett'], allow_failed_imports=False)",
    ),
    Broken(
        'failed imports that are allowed',
        'import',
        'custom_imports.allow_failed_imports',
        RETINANET,
        "custom_imports = dict(imports=['plugin.det'], allow_failed_imports=True)",
        'warning',
    ),
    # pretrained
    Broken(
        "a detector's checkpoint without the prefix",
        'pretrained',
        'model.backbone.init_cfg',
        RETINANET,
        DET + 'model = dict(backbone=dict(depth=18, init_cfg=dict('
        "checkpoint='{here}/det.pth')), neck=dict(in_channels=[64, 128, 256, 512]))",
        beside=whole_detector,
    ),
    Broken(
        'a checkpoint that is not there',
        'pretrained',
        'model.backbone.init_cfg.checkpoint',
        RETINANET,
        DET + 'model = dict(backbone=dict(depth=18, init_cfg=dict('
        "checkpoint='{here}/dett.pth', prefix='backbone.')), "
        'neck=dict(in_channels=[64, 128, 256, 512]))',
        beside=whole_detector,
    ),
    Broken(
        "the base's weights under another backbone, as mmsegmentation passes them on",
        'pretrained',
        'model.pretrained',
        UPERNET_CONVNEXT,
        "model = dict(pretrained='open-mmlab://resnet50_v1c')",
    ),
    Broken(
        "an address of the tutorials' that is gone",
        'pretrained',
        'model.backbone.init_cfg.checkpoint',
        YOLOX_CSPRESNEXT,
        "model = dict(backbone=dict(init_cfg=dict(checkpoint='mmcls://cspresnext50')))",
    ),
    # preprocess
    Broken(
        'ImageNet weights fed with 0 to 1',
        'preprocess',
        'model.data_preprocessor',
        YOLOV5_TIMM,
        'model = dict(data_preprocessor=dict(mean=[0.0] * 3, std=[255.0] * 3))',
        'warning',
    ),
    Broken(
        'ImageNet weights fed with BGR',
        'preprocess',
        'model.data_preprocessor.bgr_to_rgb',
        UPERNET_TIMM,
        'model = dict(data_preprocessor=dict(bgr_to_rgb=False))',
        'warning',
    ),
    # freeze
    Broken(
        'a hook of epochs in a loop of iterations',
        'freeze',
        'custom_hooks[0]',
        UPERNET,
        SEG + 'model = dict(backbone=dict(frozen_stages=1))\n'
        "custom_hooks = [dict(type='UnfreezeBackboneEpochBasedHook')]",
    ),
    Broken(
        'unfreezing after the end',
        'freeze',
        'custom_hooks[0].unfreeze_epoch',
        RETINANET,
        DET + "custom_hooks = [dict(type='UnfreezeBackboneEpochBasedHook', "
        'unfreeze_epoch=12)]',
    ),
    Broken(
        'a backbone that cannot freeze',
        'freeze',
        'custom_hooks[0]',
        RETINANET,
        "custom_imports = dict(imports=['plugin.det', 'own_net'], "
        'allow_failed_imports=False)\n'
        "model = dict(backbone=dict(_delete_=True, type='plugin.OwnNet'), "
        'neck=dict(in_channels=[8, 16, 32, 64]))\n'
        "custom_hooks = [dict(type='UnfreezeBackboneEpochBasedHook')]",
        beside=own_backbone,
    ),
    Broken(
        'a hook with nothing to unfreeze',
        'freeze',
        'custom_hooks[0]',
        RETINANET,
        DET + 'model = dict(backbone=dict(frozen_stages=-1))\n'
        "custom_hooks = [dict(type='UnfreezeBackboneEpochBasedHook')]",
        'warning',
    ),
    # decay
    Broken(
        'decay without the constructor',
        'decay',
        'optim_wrapper.constructor',
        RETINANET_CONVNEXT,
        'optim_wrapper = dict(paramwise_cfg=dict(decay_rate=0.9))',
    ),
    Broken(
        'a number of layers that is not that of the backbone',
        'decay',
        'optim_wrapper.paramwise_cfg.num_layers',
        MASK_RCNN_CONVNEXT,
        'optim_wrapper = dict(paramwise_cfg=dict(num_layers=12))',
    ),
    Broken(
        "mmdet's constructor for a backbone that it doesn't know",
        'decay',
        'optim_wrapper.constructor',
        RETINANET,
        DET + "optim_wrapper = dict(constructor='LearningRateDecayOptimizerConstructor'"
        ", paramwise_cfg=dict(decay_rate=0.9, decay_type='layer_wise', num_layers=6))",
    ),
    Broken(
        'a decay rate above 1',
        'decay',
        'optim_wrapper.paramwise_cfg.decay_rate',
        MASK_RCNN_CONVNEXT,
        'optim_wrapper = dict(paramwise_cfg=dict(decay_rate=95))',
    ),
    Broken(
        "YOLOv5's optimizer, which leaves Swin's position tables out",
        'decay',
        'optim_wrapper.constructor',
        YOLOV5_SWIN,
        "optim_wrapper = dict(constructor='YOLOv5OptimizerConstructor')",
    ),
    # classes
    Broken(
        '80 classes for a data set of three',
        'classes',
        'model.bbox_head.num_classes',
        RETINANET_TIMM,
        'model = dict(bbox_head=dict(num_classes=80))',
    ),
    Broken(
        'the mask head that was forgotten',
        'classes',
        'model.roi_head.mask_head.num_classes',
        MASK_RCNN_SHAPES,
        'model = dict(roi_head=dict(mask_head=dict(num_classes=80)))',
    ),
    Broken(
        '19 classes for the 150 of ADE20K',
        'classes',
        'model.decode_head.num_classes',
        UPERNET,
        'model = dict(decode_head=dict(num_classes=19))',
    ),
    Broken(
        'the auxiliary head of a smaller data set',
        'classes',
        'model.auxiliary_head.num_classes',
        UPERNET_SHAPES,
        'model = dict(auxiliary_head=dict(num_classes=150))',
    ),
    Broken(
        'one class without the comma',
        'classes',
        'train_dataloader.dataset.metainfo.classes',
        RETINANET,
        "train_dataloader = dict(dataset=dict(metainfo=dict(classes='cat')))",
    ),
)
