"""A model that no machine holds: a number of channels with zeros too many."""

from __future__ import annotations

from collections.abc import Iterator

from plugin.check.checked_config import CheckedConfig
from plugin.check.rule import Rule
from plugin.config.parts import child_key
from plugin.config.problem import ERROR, Problem

# The largest that any library ships, of 7 billion parameters, is a fortieth of it.
_MOST = 1 << 40


def size(checked: CheckedConfig) -> Iterator[Problem]:
    """Count the bytes of the parameters; of too many, the largest number is named."""
    if checked.built is None:
        return
    bytes_ = sum(p.numel() * p.element_size() for p in checked.built.parameters())
    if bytes_ < _MOST:
        return
    numbers = [
        (number, child_key(part.key, name))
        for part in checked.parts
        if part.key.startswith('model')
        for name, value in part.cfg.items()
        for number in (value if isinstance(value, (list, tuple)) else [value])
        if type(number) is int
    ]
    value, key = max(numbers, default=(None, 'model'))
    yield Problem(
        key,
        'argument',
        ERROR,
        value,
        f'a model that fits into memory, not one of {bytes_ / (1 << 40):,.0f} TiB',
        unknown=key,
    )


RULE = Rule(
    name='size',
    finds='A model that no machine holds.',
    why='Building it ends with an error of the allocator, or the machine stops, and '
    'neither says which number was meant.',
    example="_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"
    'model = dict(bbox_head=dict(feat_channels=10**7))',
    fix='Write the number that was meant; the largest in the model is named.',
    look=size,
    first=True,
)
