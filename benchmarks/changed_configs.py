"""Upstream configs, each changed in one way: the cases of ``agreement.py``.

A change is what a user does who puts another backbone into a config, or turns one
knob. Whether the result trains is not known here: some changes are complete.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plugin.config.names import load_config

BASES = (
    'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
    'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
    'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
    'mmdet::cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py',
    'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
    'mmdet::atss/atss_r50_fpn_1x_coco.py',
    'mmdet::gfl/gfl_r50_fpn_1x_coco.py',
    'mmdet::vfnet/vfnet_r50_fpn_1x_coco.py',
    'mmdet::paa/paa_r50_fpn_1x_coco.py',
    'mmdet::tood/tood_r50_fpn_1x_coco.py',
    'mmdet::reppoints/reppoints-moment_r50_fpn_1x_coco.py',
    'mmdet::foveabox/fovea_r50_fpn_4xb4-1x_coco.py',
    'mmdet::fsaf/fsaf_r50_fpn_1x_coco.py',
    'mmdet::ddod/ddod_r50_fpn_1x_coco.py',
    'mmdet::yolof/yolof_r50-c5_8xb8-1x_coco.py',
    'mmdet::yolo/yolov3_d53_8xb8-320-273e_coco.py',
    'mmdet::ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py',
    'mmdet::yolox/yolox_s_8xb8-300e_coco.py',
    'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
    'mmdet::rtmdet/rtmdet-ins_tiny_8xb32-300e_coco.py',
    'mmdet::libra_rcnn/libra-faster-rcnn_r50_fpn_1x_coco.py',
    'mmdet::pafpn/faster-rcnn_r50_pafpn_1x_coco.py',
    'mmdet::double_heads/dh-faster-rcnn_r50_fpn_1x_coco.py',
    'mmdet::dynamic_rcnn/dynamic-rcnn_r50_fpn_1x_coco.py',
    'mmdet::ms_rcnn/ms-rcnn_r50_fpn_1x_coco.py',
    'mmdet::point_rend/point-rend_r50-caffe_fpn_ms-1x_coco.py',
    'mmdet::htc/htc_r50_fpn_1x_coco.py',
    'mmdet::panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py',
    'mmdet::solov2/solov2_r50_fpn_1x_coco.py',
    'mmdet::condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py',
    'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
    'mmdet::sparse_rcnn/sparse-rcnn_r50_fpn_1x_coco.py',
    'mmdet::queryinst/queryinst_r50_fpn_1x_coco.py',
    'mmdet::detr/detr_r50_8xb2-150e_coco.py',
    'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
    'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py',
    'mmdet::soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py',
    'mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py',
    'mmseg::pspnet/pspnet_r50-d8_4xb4-80k_ade20k-512x512.py',
    'mmseg::deeplabv3plus/deeplabv3plus_r50-d8_4xb4-80k_ade20k-512x512.py',
    'mmseg::sem_fpn/fpn_r50_4xb4-160k_ade20k-512x512.py',
    'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
    'mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py',
    'mmseg::knet/knet-s3_r50-d8_deeplabv3_8xb2-adamw-80k_ade20k-512x512.py',
    'mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py',
    'mmyolo::yolov6/yolov6_n_syncbn_fast_8xb32-400e_coco.py',
    'mmyolo::yolov7/yolov7_tiny_syncbn_fast_8x16b-300e_coco.py',
    'mmyolo::yolov8/yolov8_n_syncbn_fast_8xb16-500e_coco.py',
    'mmyolo::rtmdet/rtmdet_tiny_syncbn_fast_8xb32-300e_coco.py',
    'mmyolo::ppyoloe/ppyoloe_plus_s_fast_8xb8-80e_coco.py',
)

# Arguments of a small backbone, by where its maps are, and their channels.
_SMALL = (
    (dict(type='mmdet.ResNet', depth=18), (64, 128, 256, 512)),
    (dict(type='mmdet.RegNet', arch='regnetx_400mf'), (32, 64, 160, 384)),
    (
        dict(
            type='mmdet.PyramidVisionTransformerV2',
            embed_dims=32,
            num_layers=[2, 2, 2, 2],
        ),
        (32, 64, 160, 256),
    ),
)


@dataclass(frozen=True)
class Case:
    """One config.

    Attributes:
        base: What it inherits from.
        change: What was changed, one of ``CHANGES`` or ``'nothing'``.
        text: What it writes itself.
    """

    base: str
    change: str
    text: str

    @property
    def source(self) -> str:
        """The config file."""
        return f'_base_ = {self.base!r}\n{self.text}\n'


def cases(seed: int = 0) -> list[Case]:
    """All of them, in an order in which the first ones are of many kinds."""
    rng = random.Random(seed)
    found = [case for base in BASES for case in _of(base, rng)]
    rng.shuffle(found)
    return found


def _of(base: str, rng: random.Random) -> Iterator[Case]:
    yield Case(base, 'nothing', '')
    model = load_config(base).model.to_dict()
    place = 'detector' if 'detector' in model else ''
    inner = model[place] if place else model
    for name, change in CHANGES.items():
        changed = change(inner, rng)
        if changed is not None:
            yield Case(base, name, _text(changed, place))


def _text(changed: Mapping[str, Any], place: str) -> str:
    changed = {place: changed} if place else changed
    return f'model = {_call(changed)}'


def _call(node: Any) -> str:
    if isinstance(node, Mapping):
        return f'dict({", ".join(f"{k}={_call(v)}" for k, v in node.items())})'
    if isinstance(node, (list, tuple)):
        inside = ', '.join(map(_call, node))
        if isinstance(node, list):
            return f'[{inside}]'
        return f'({inside},)' if len(node) == 1 else f'({inside})'
    return repr(node)


Change = Callable[[Mapping[str, Any], random.Random], dict[str, Any] | None]


def _other_backbone(
    model: Mapping[str, Any], rng: random.Random
) -> tuple[dict, Sequence[int]] | None:
    """A smaller backbone with as many maps as there were, and their channels."""
    outs = model['backbone'].get('out_indices')
    neck = _one(model.get('neck'))
    taken = neck.get('in_channels') if neck else None
    if isinstance(taken, (list, tuple)):
        count = len(taken)
    else:
        count = len(outs) if isinstance(outs, (list, tuple)) else 1
    if count > 4:
        return None
    backbone, channels = rng.choice(_SMALL)
    indices = tuple(range(4 - count, 4))
    new = dict(_delete_=True, **backbone, out_indices=indices)
    return new, [channels[i] for i in indices]


def _swapped(model: Mapping[str, Any], rng: random.Random) -> dict | None:
    found = _other_backbone(model, rng)
    return found and {**_without_pretrained(model), 'backbone': found[0]}


def _swapped_with_neck(model: Mapping[str, Any], rng: random.Random) -> dict | None:
    found = _other_backbone(model, rng)
    neck = model.get('neck')
    if found is None or not isinstance(neck, Mapping) or 'in_channels' not in neck:
        return None
    written = neck['in_channels']
    if 'widen_factor' in neck and neck['widen_factor'] != 1:
        return None  # That is another change.
    right = found[1][-1] if isinstance(written, int) else type(written)(found[1])
    changed = {**_without_pretrained(model), 'backbone': found[0]}
    return {**changed, 'neck': dict(in_channels=right)}


def _neck_width(model: Mapping[str, Any], rng: random.Random) -> dict | None:
    neck = model.get('neck')
    if not isinstance(neck, Mapping) or not isinstance(neck.get('out_channels'), int):
        return None
    return dict(neck=dict(out_channels=neck['out_channels'] // 2))


def _number_of_maps(model: Mapping[str, Any], rng: random.Random) -> dict | None:
    neck = model.get('neck')
    if not isinstance(neck, Mapping) or not isinstance(neck.get('num_outs'), int):
        return None
    return dict(neck=dict(num_outs=neck['num_outs'] + rng.choice((-1, 1))))


def _head_channels(model: Mapping[str, Any], rng: random.Random) -> dict | None:
    places = list(_channels_of_heads(model, ()))
    if not places:
        return None
    path, value = rng.choice(places)
    right: Any = value // 2 if isinstance(value, int) else [v // 2 for v in value]
    return _nested(path, right if isinstance(value, (int, list)) else tuple(right))


def _channels_of_heads(
    node: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, value in node.items():
        if name in ('backbone', 'neck', 'data_preprocessor', 'loss_cls'):
            continue
        if name == 'in_channels' and path:
            yield (*path, name), value
        elif isinstance(value, Mapping):
            yield from _channels_of_heads(value, (*path, name))


def _class_count(model: Mapping[str, Any], rng: random.Random) -> dict | None:
    places = [
        (path, value)
        for path, value in _numbers(model, (), 'num_classes')
        if 'rpn_head' not in path
    ]
    if not places:
        return None
    path, value = rng.choice(places)
    return _nested(path, max(value // 2, 1))


def _numbers(
    node: Mapping[str, Any], path: tuple[str, ...], wanted: str
) -> Iterator[tuple[tuple[str, ...], int]]:
    for name, value in node.items():
        if name == wanted and isinstance(value, int):
            yield (*path, name), value
        elif isinstance(value, Mapping):
            yield from _numbers(value, (*path, name), wanted)


def _frozen_stage(model: Mapping[str, Any], rng: random.Random) -> dict | None:
    if 'frozen_stages' not in model['backbone']:
        return None
    return dict(backbone=dict(frozen_stages=rng.choice((0, 2, 5))))


def _out_indices(model: Mapping[str, Any], rng: random.Random) -> dict | None:
    outs = model['backbone'].get('out_indices')
    if not isinstance(outs, (list, tuple)) or len(outs) < 2:
        return None
    return dict(backbone=dict(out_indices=type(outs)(outs[1:])))


def _widen_factor(model: Mapping[str, Any], rng: random.Random) -> dict | None:
    parts = [n for n in ('backbone', 'neck') if 'widen_factor' in (model.get(n) or {})]
    if not parts:
        return None
    part = rng.choice(parts)
    return {part: dict(widen_factor=model[part]['widen_factor'] * 2)}


CHANGES: Mapping[str, Change] = {
    'backbone': _swapped,
    'backbone and neck': _swapped_with_neck,
    'neck width': _neck_width,
    'number of maps': _number_of_maps,
    'channels of a head': _head_channels,
    'class count': _class_count,
    'frozen stages': _frozen_stage,
    'maps of the backbone': _out_indices,
    'widen_factor': _widen_factor,
}


def _without_pretrained(model: Mapping[str, Any]) -> dict[str, Any]:
    return dict(pretrained=None) if model.get('pretrained') else {}


def _one(parts: Any) -> Mapping[str, Any] | None:
    if isinstance(parts, (list, tuple)):
        return parts[0] if parts else None
    return parts


def _nested(path: Sequence[str], value: Any) -> dict[str, Any]:
    for name in reversed(path):
        value = {name: value}
    return value
