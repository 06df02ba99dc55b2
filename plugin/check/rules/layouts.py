"""Outputs that are not feature maps: vectors, rows of patches, or channels last."""

from __future__ import annotations

from collections.abc import Iterator

from plugin.check.checked_config import CheckedConfig
from plugin.check.rule import Rule
from plugin.config.problem import ERROR, Fix, Problem, assign
from plugin.measure.as_maps import ways_to_maps
from plugin.measure.features import NHWC, layout

# What a layout is, in words.
WORDS = {
    NHWC: '(N, H, W, C)',
    'NC': '(N, C)',
    'NLC': '(N, patches, C)',
}


def layouts(checked: CheckedConfig) -> Iterator[Problem]:
    """Report outputs that detectors and segmentors cannot take for feature maps.

    A classifier's backbone may give vectors, which its head takes.
    """
    if not checked.takes_maps or checked.backbone is None:
        return
    if checked.spec is not None or checked.backbone_key != 'model.backbone':
        return
    shapes, no_maps = checked.forward.shapes, checked.forward.no_maps
    if shapes == []:
        return  # It gives nothing, which is reported already.
    if shapes is not None:
        if not all(isinstance(shape, tuple) for shape in shapes):
            return  # Some heads of mmseg take more than maps.
        found = f'{WORDS.get(layout(shapes), layout(shapes))}, such as {shapes[-1]}'
    elif no_maps and 'neck' in checked.model:
        found = no_maps.partition('; ')[0]
    else:
        return  # It does not run, so what it gives is not known.
    for key, fix in _ways(checked):
        spec = checked.with_fixes([fix]).spec
        if spec is not None:
            # A switch leaves the backbone what it is.
            safe = key != checked.backbone_key
            yield _problem(key, found, fix, safe=safe)
            return
    key = checked.backbone_key
    yield _problem(key, found, unknown=key)


def _problem(
    key: str, found: str, fix: Fix = (), unknown: str = '', safe: bool = False
) -> Problem:
    expected = '(N, C, H, W)'
    return Problem(
        key, 'layout', ERROR, found, expected, fix, unknown=unknown, safe=safe
    )


def _ways(checked: CheckedConfig) -> Iterator[tuple[str, Fix]]:
    """Yield keys, and what to write there, the plainest first."""
    holder = checked.backbone_key
    for change in ways_to_maps(checked.backbone_cfg):
        if 'type' in change:
            yield holder, assign(holder, change)
        else:
            ((name, value),) = change.items()
            yield f'{holder}.{name}', assign(f'{holder}.{name}', value)


RULE = Rule(
    name='layouts',
    finds='A backbone that gives a detector or segmentor other outputs than feature '
    'maps (N, C, H, W): vectors, patches in a row, or channels last.',
    why='The neck fails on the first image, or convolves over the wrong axes.',
    example="_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"
    'model = dict(\n'
    '    backbone=dict(\n'
    '        _delete_=True,\n'
    "        type='mmpretrain.ConvNeXt',\n"
    "        arch='tiny',\n"
    '        out_indices=(0, 1, 2, 3),\n'
    '    ),\n'
    '    neck=dict(in_channels=[96, 192, 384, 768]),\n'
    ')',
    fix='Set the argument that makes maps of them, which is safe. Another class '
    'around the same model is unsafe.',
    look=layouts,
    first=True,
)
