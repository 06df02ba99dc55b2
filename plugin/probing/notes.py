"""What stands between a backbone and a neck, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from plugin.features import NCHW
from plugin.preprocessing import Normalization
from plugin.probing.forward import Maps, Subject

# What makes maps of something else, in the classes of mmpretrain that have it.
_MENDS = (
    ('gap_before_final_norm', False),
    ('out_type', 'featmap'),
    ('reshape_last_feat', True),
)


def notes(
    subject: Subject, found: Maps, normalization: Normalization | None
) -> Iterator[str]:
    """Sentences for people.

    Args:
        subject: The backbone.
        found: What a forward returned.
        normalization: What its pretrained weights want.
    """
    if subject.in_channels != 3:
        yield f'Number of channels of the image: {subject.in_channels}.'
    if found.bare:
        yield (
            f'It returns a single {found.kind}: decode heads of mmseg take that, necks '
            'take a tuple.'
        )
    if found.layout != NCHW:
        yield f'Necks take NCHW, this is {found.layout}{_way_out(subject, found)}'
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


def _way_out(subject: Subject, found: Maps) -> str:
    mend = _mend(subject, found)
    if mend:
        return f': add --cfg-options {mend}'
    if subject.name.endswith('.TIMMBackbone'):
        name = subject.cfg.get('model_name')
        return f': write timm:{name}, which permutes'
    return '.'


def _mend(subject: Subject, found: Maps) -> str | None:
    """The argument that makes this backbone give maps."""
    for argument, value in _MENDS:
        if argument in subject.cfg and subject.cfg[argument] == value:
            continue
        try:
            other = Subject({**subject.cfg, argument: value}).forward(found.size)
        except Exception:
            continue
        if other.layout == NCHW:
            return f'{argument}={value}'
    return None
