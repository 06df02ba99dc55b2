"""What stands between a backbone and a neck, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from plugin.measure.features import NCHW
from plugin.measure.forward import Maps, MeasuredBackbone
from plugin.measure.normalization import Normalization

# What makes maps of something else, in the classes of mmpretrain that have it.
_MENDS = (
    ('gap_before_final_norm', False),
    ('out_type', 'featmap'),
    ('reshape_last_feat', True),
)


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
    mend = _mend(measured, found)
    if mend:
        return f': add --cfg-options {mend}'
    if measured.name.endswith('.TIMMBackbone'):
        name = measured.cfg.get('model_name')
        return f': write timm:{name}, which permutes'
    return '.'


def _mend(measured: MeasuredBackbone, found: Maps) -> str | None:
    """The argument that makes this backbone give maps."""
    for argument, value in _MENDS:
        if argument in measured.cfg and measured.cfg[argument] == value:
            continue
        try:
            other = MeasuredBackbone({**measured.cfg, argument: value}).forward(
                found.size
            )
        except Exception:
            continue
        if other.layout == NCHW:
            return f'{argument}={value}'
    return None
