"""Bases and backbones that are put together."""

from __future__ import annotations

from typing import Any

BASES = {
    'retinanet': 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
    'faster-rcnn': 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'yolox': 'mmdet::yolox/yolox_s_8xb8-300e_coco.py',
    'yolov5': 'mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py',
    'yolov8': 'mmyolo::yolov8/yolov8_s_syncbn_fast_8xb16-500e_coco.py',
    'rtmdet': 'mmyolo::rtmdet/rtmdet_s_syncbn_fast_8xb32-300e_coco.py',
    'upernet': 'mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py',
    'pspnet': 'mmseg::pspnet/pspnet_r50-d8_4xb4-80k_ade20k-512x512.py',
}
LIBRARIES = {'det': 'mmdet', 'seg': 'mmseg', 'yolo': 'mmyolo'}

# Name, options.
BACKBONES: dict[str, tuple[str, dict[str, Any]]] = {
    'ConvNeXt': ('plugin.ConvNeXt', dict(arch='atto')),
    'own': ('plugin.SwappedNet', {}),
    'timm-resnet': ('timm:resnet10t', {}),
    'timm-efficientnet': ('timm:efficientnet_b0.ra_in1k', {}),
    'timm-swin': ('timm:swin_tiny_patch4_window7_224', {}),
    'timm-convnext': ('timm:convnext_atto', {}),
    'mmpretrain-mobilenetv3': ('mmpretrain.MobileNetV3', dict(arch='small')),
    'mmpretrain-regnet': ('mmpretrain.RegNet', dict(arch='regnetx_400mf')),
    'mmpretrain-resnet': ('mmpretrain.ResNet', dict(depth=18)),
    'mmdet-swin': ('mmdet.SwinTransformer', {}),
    'mmdet-resnet': ('mmdet.ResNet', dict(depth=18)),
}

# A class of the user's, in a file of the user's.
OWN_NET = """
from torch import nn

from plugin.registry import MODELS


def block(before, after):
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


@MODELS.register_module()
class SwappedNet(nn.Module):
    def __init__(self, width=8, out_indices=(0, 1, 2, 3)):
        super().__init__()
        self.out_indices = out_indices
        self.stem = block(3, width)
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        self.stages = nn.ModuleList(
            block(a, b) for a, b in zip(widths[:-1], widths[1:])
        )

    def forward(self, x):
        x = self.stem(x)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return tuple(maps[i] for i in self.out_indices)
"""
