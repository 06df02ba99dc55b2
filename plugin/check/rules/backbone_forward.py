"""A backbone whose forward fails on the images that the config feeds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mmengine.registry import MODELS, DefaultScope
from torch import nn

from plugin.check.checked_config import CheckedConfig
from plugin.check.rule import Rule
from plugin.config.problem import ERROR, Fix, Problem, assign, delete
from plugin.measure.failures import Failure
from plugin.measure.optimizer import resolve
from plugin.measure.signatures import signature_of

# How many arguments are left out, one at a time, to see whether it runs without.
_TRIES = 8


def backbone_forward(checked: CheckedConfig) -> Iterator[Problem]:
    """Run the backbone on an image, and quote what it raises."""
    if not checked.takes_maps or checked.forward is None:
        return
    failure, reason = checked.forward.failure, checked.forward.reason
    if reason is not None:
        checked.leave(checked.backbone_key, reason)
    if checked.forward.shapes == []:
        yield _nothing(checked)
    if failure is None:
        return
    if failure.takes is not None:
        yield from _about_channels(checked, failure)
    else:
        yield _quoted(checked, failure)


def _about_channels(checked: CheckedConfig, failure: Failure) -> Iterator[Problem]:
    key = checked.backbone_key
    if failure.given == checked.image_channels and not checked.knows_images:
        checked.leave(key, 'the channels of the images are not written')
        return
    found = f'{failure.takes} channels for {failure.path}'
    expected = f'{failure.given} channels'
    if failure.given == checked.image_channels:
        expected = f'{expected}, as the images have'
    for name, value in checked.backbone_cfg.items():
        fix = assign(f'{key}.{name}', failure.given)
        if type(value) is int and value == failure.takes and _runs(checked, fix):
            key = f'{key}.{name}'
            yield Problem(key, 'channels', ERROR, found, expected, fix, safe=True)
            return
    yield Problem(key, 'channels', ERROR, found, expected, unknown=key)


def _nothing(checked: CheckedConfig) -> Problem:
    """Report that no map is returned: mmdet's ResNet takes no negative numbers."""
    key = f'{checked.backbone_key}.out_indices'
    written = checked.backbone_cfg.get('out_indices')
    expected = 'a tuple of feature maps'
    if not isinstance(written, (list, tuple)) or not written:
        key = checked.backbone_key
        return Problem(key, 'levels', ERROR, 'no feature maps', expected, unknown=key)
    found = f'{written}, for which the backbone returns no feature map'
    for last in range(len(written) + 4):
        right = [last + index for index in written]
        fix = assign(key, type(written)(right))
        if min(right) >= 0 and _gives(checked, fix, len(right)):
            # The last that there are: counted from the end, as they are written.
            more = assign(key, type(written)(index + 1 for index in right))
            if not _gives(checked, more, len(right)):
                return Problem(key, 'levels', ERROR, found, right, fix, safe=True)
    return Problem(key, 'levels', ERROR, found, expected, unknown=key)


def _gives(checked: CheckedConfig, fix: Fix, count: int) -> bool:
    forward = checked.with_fixes([fix]).forward
    return forward is not None and len(forward.shapes or ()) == count


def _quoted(checked: CheckedConfig, failure: Failure) -> Problem:
    holder = checked.backbone_key
    found = f'forward raises in {failure.path}: ' if failure.path else 'forward raises '
    found += failure.text
    for name in _suspects(checked, failure)[:_TRIES]:
        fix = delete(f'{holder}.{name}')
        if _runs(checked, fix):
            key = f'{holder}.{name}'
            return Problem(key, 'forward', ERROR, found, 'its default', fix)
    expected = 'a tuple of feature maps'
    return Problem(holder, 'forward', ERROR, found, expected, unknown=holder)


def _suspects(checked: CheckedConfig, failure: Failure) -> list[str]:
    """Return arguments with a default, first those that name the layer that failed."""
    part = next(p for p in checked.parts if p.key == checked.backbone_key)
    signature = signature_of(part.target)
    required = signature.required if signature else ()
    names = [
        name
        for name in checked.backbone_cfg
        if name not in ('type', '_scope_', 'init_cfg', *required)
    ]
    layer = checked.backbone.get_submodule(failure.path)
    with DefaultScope.overwrite_default_scope(checked.scope):
        return sorted(names, key=lambda n: not _names(checked.backbone_cfg[n], layer))


def _names(value: object, layer: nn.Module) -> bool:
    type_ = value.get('type') if isinstance(value, Mapping) else None
    cls = resolve(MODELS, type_) if type_ is not None else None
    return isinstance(cls, type) and isinstance(layer, cls)


def _runs(checked: CheckedConfig, fix: Fix) -> bool:
    forward = checked.with_fixes([fix]).forward
    return forward is not None and forward.shapes is not None


RULE = Rule(
    name='backbone-forward',
    finds='A backbone whose forward fails on the images that the config feeds it.',
    why='Training stops at the first image, somewhere inside the backbone. One that '
    'asks for values is run for real at a small size.',
    example="_base_ = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'\n"
    'model = dict(backbone=dict(in_channels=4))',
    fix='Write the channels that the images have, which is safe. To leave out the '
    'argument without which it runs is unsafe.',
    look=backbone_forward,
    first=True,
)
