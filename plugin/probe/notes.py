"""What stands between a backbone and a neck, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from plugin.measure.as_maps import as_maps
from plugin.measure.features import NCHW
from plugin.measure.forward import Maps, MeasuredBackbone
from plugin.measure.normalization import Normalization


def notes(
    measured: MeasuredBackbone, found: Maps, normalization: Normalization | None
) -> Iterator[str]:
    """Sentences for people.

    Args:
        measured: The backbone.
        found: What a forward returned.
        normalization: What its pretrained weights want.
    """
    if measured.in_channels != 3:
        yield f'Number of channels of the image: {measured.in_channels}.'
    if found.bare:
        yield (
            f'It returns a single {found.kind}: decode heads of mmseg take that, necks '
            'take a tuple.'
        )
    if found.layout != NCHW:
        yield f'Necks take NCHW, this is {found.layout}{_way_out(measured, found)}'
    elif len(found.strides) > 1 and min(found.strides) == max(found.strides) > 8:
        yield (
            f'Its maps have one stride, {found.strides[0]}: the neck '
            'plugin.SimpleFeaturePyramid makes a pyramid of the last.'
        )
    if normalization is not None and normalization.order == 'BGR':
        yield (
            'Its weights take the channels as BGR: write mean and std the other way '
            'round, and bgr_to_rgb=False.'
        )


def _way_out(measured: MeasuredBackbone, found: Maps) -> str:
    change = as_maps(measured.cfg, found.size)
    if change is None:
        return '.'
    if 'type' in change:
        return f': write timm:{change["model_name"]}, which permutes'
    ((argument, value),) = change.items()
    return f': add --cfg-options {argument}={value}'
