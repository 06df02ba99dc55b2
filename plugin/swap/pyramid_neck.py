"""A neck for backbones whose maps all have one stride, as a plain ViT's have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from plugin.spec import as_list, type_name
from plugin.swap.base import Base
from plugin.swap.plan import Plan

_SCALES = (4, 2, 1, 0.5)


def pyramid_neck(base: Base, plan: Plan) -> Iterator[tuple[str, Any, str]]:
    """Keys of the model, what they become, and why.

    Raises:
        ValueError: No neck makes of these maps what the base's heads read.
    """
    stride = plan.spec.strides[0]
    why = f'All maps of a plain ViT have one stride, {stride}; this makes a pyramid.'
    if base.task == 'det':
        yield 'model.neck', _for_detector(base, plan), why
    elif base.task == 'seg':
        yield 'model.neck', _for_segmentor(base, plan), why
        yield from _heads(base, plan.spec.channels[0])
    else:
        raise ValueError(_refusal(base, plan))


def _for_detector(base: Base, plan: Plan) -> dict[str, Any]:
    """plugin.SimpleFeaturePyramid with the maps of the base's FPN."""
    neck = base.model['neck']
    stride = plan.spec.strides[0]
    wanted = [base.pyramid[i] for i in plan.kept]
    scales = tuple(_number(stride / s) for s in wanted)
    if (
        not isinstance(neck, dict)
        or 'num_outs' not in neck
        or not isinstance(neck.get('out_channels'), int)
        or not set(scales) <= set(_SCALES)
        or len(plan.spec.channels) not in (1, len(scales))
    ):
        raise ValueError(_refusal(base, plan))
    found: dict[str, Any] = dict(
        _delete_=True,
        type='plugin.SimpleFeaturePyramid',
        in_channels=list(plan.spec.channels),
        out_channels=neck['out_channels'],
        scales=scales,
    )
    extra = neck['num_outs'] - len(scales)
    if extra:
        found['extra_maps'] = extra
    return found


def _for_segmentor(base: Base, plan: Plan) -> dict[str, Any]:
    """mmseg's Feature2Pyramid, which takes four maps."""
    channels = plan.spec.channels
    if base.model.get('neck') or len(channels) != 4 or len(set(channels)) > 1:
        raise ValueError(_refusal(base, plan))
    stride = plan.spec.strides[0]
    # A stride of 14 is no power of two, and segmentation heads resize what they get.
    scales = [_number(16 / s) for s in base.pyramid]
    if set(scales) != set(_SCALES) or stride > 16:
        raise ValueError(_refusal(base, plan))
    found: dict[str, Any] = dict(
        type='Feature2Pyramid', embed_dim=channels[0], rescales=scales
    )
    # Its own default is SyncBN, which is the default of most bases too.
    norm = next(iter(as_list(base.model.get('decode_head'))), {}).get('norm_cfg')
    if norm and norm.get('type') != 'SyncBN':
        found['norm_cfg'] = {k: v for k, v in norm.items() if k != '_scope_'}
    return found


def _heads(base: Base, channels: int) -> Iterator[tuple[str, Any, str]]:
    for slot in base.slots:
        if isinstance(slot.written, int):
            yield slot.key, channels, ''
        else:
            yield slot.key, [channels] * len(slot.written), ''


def _number(scale: float) -> float:
    return int(scale) if scale == int(scale) else scale


def _refusal(base: Base, plan: Plan) -> str:
    neck = ' and '.join(map(type_name, as_list(base.model.get('neck'))))
    strides = ', '.join(str(base.pyramid[i]) for i in base.used)
    return (
        f'all maps of this backbone have stride {plan.spec.strides[0]}, and '
        f'{neck or base.method} reads maps of strides {strides}. Of a plain ViT with '
        'patches of 16 pixels a pyramid is made for detectors with an FPN (RetinaNet, '
        'Faster R-CNN) and for UperNet'
    )
