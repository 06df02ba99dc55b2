"""Compare what a config feeds with what its pretrained weights were trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plugin.check.checked_config import CheckedConfig
from plugin.check.data_sets import data_sets
from plugin.check.rule import Rule
from plugin.check.weight_sources import (
    TIMM,
    WHOLE,
    WeightSource,
    fills_backbone,
    weight_sources,
)
from plugin.config.problem import WARNING, Problem, assign, both
from plugin.measure.normalization import (
    Normalization,
    normalization_of,
    normalization_of_checkpoint,
)
from plugin.spec import type_name

# Grey levels, and a share of the standard deviation: 122.77 for 123.675 is no mistake.
_CLOSE_MEAN, _CLOSE_STD = 2.0, 0.05


def preprocess(checked: CheckedConfig) -> Iterator[Problem]:
    """Compare mean, std and channel order with those of the pretrained weights."""
    wanted = _wanted(checked)
    place = _place(checked)
    if wanted is None or place is None or _is_fed_otherwise(checked):
        return
    key, entry = place
    flag, swaps = _order_of(entry)
    order = 'RGB' if swaps else 'BGR'
    mean, std = (
        _in_order(numbers, wanted.order) for numbers in (wanted.mean, wanted.std)
    )
    right: dict[str, Any] = {}
    if order != wanted.order:
        right[flag] = not swaps
    if not _alike(entry.get('mean'), mean, _CLOSE_MEAN):
        right['mean'] = mean
    if not _alike(entry.get('std'), std, 0, _CLOSE_STD):
        right['std'] = std
    if not right:
        return
    found = {name: entry.get(name) for name in right}
    if len(right) == 1:
        ((name, value),) = right.items()
        yield Problem(
            f'{key}.{name}',
            'preprocess',
            WARNING,
            found[name],
            value,
            assign(f'{key}.{name}', value),
            safe=True,
        )
        return
    fix = both(assign(f'{key}.{name}', value) for name, value in right.items())
    if not entry:
        fix = assign(key, dict(type=checked.wiring.preprocessor, **right))
    yield Problem(key, 'preprocess', WARNING, found, right, fix, safe=True)


def _wanted(checked: CheckedConfig) -> Normalization | None:
    """Return what the weights want that are in the backbone when training begins."""
    found = [o for o in weight_sources(checked) if fills_backbone(checked, o)]
    if not found:
        return None
    return _normalization(checked, max(found, key=_lateness))


def _lateness(source: WeightSource) -> tuple[bool, int]:
    # mmengine initializes the inner parts first, and load_from comes after all.
    return source.way == WHOLE, -source.target.count('.')


def _normalization(
    checked: CheckedConfig, source: WeightSource
) -> Normalization | None:
    if source.way == TIMM:
        return normalization_of(checked.backbone_cfg)
    return normalization_of_checkpoint(source.address)


def _place(checked: CheckedConfig) -> tuple[str, Mapping[str, Any]] | None:
    """Return the key of the data preprocessor, and its entry."""
    key, entry = 'model.data_preprocessor', checked.model.get('data_preprocessor')
    if entry is None:
        key, entry = 'data_preprocessor', checked.cfg.get('data_preprocessor')
    if entry is None:
        # A model without one does not normalize.
        known = checked.wiring is not None and checked.wiring.preprocessor
        return ('model.data_preprocessor', {}) if known else None
    # Semi-supervised learning has one for each branch.
    while isinstance(entry.get('data_preprocessor'), Mapping):
        key, entry = f'{key}.data_preprocessor', entry['data_preprocessor']
    mean, std = entry.get('mean'), entry.get('std')
    if any(
        x is not None and not (isinstance(x, Sequence) and len(x) == 3)
        for x in (mean, std)
    ):
        return None
    return key, entry


def _order_of(entry: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the key that swaps the channels, and whether they are swapped."""
    for flag in ('bgr_to_rgb', 'rgb_to_bgr', 'to_rgb'):
        if entry.get(flag):
            return flag, True
    return ('to_rgb' if 'to_rgb' in entry else 'bgr_to_rgb'), False


def _is_fed_otherwise(checked: CheckedConfig) -> bool:
    """Return whether the preprocessor gets other images than BGR from 0 to 255."""
    for data_set in data_sets(checked.cfg, 'train_dataloader'):
        if type_name(data_set.cfg).startswith(('CIFAR', 'MNIST', 'FashionMNIST')):
            return True
        steps = data_set.cfg.get('pipeline') or ()
        if any(isinstance(s, Mapping) and type_name(s) == 'Normalize' for s in steps):
            return True
    return False


def _in_order(numbers: Sequence[float], order: str) -> list[float]:
    """Return numbers of red, green and blue in the order of the images."""
    return list(numbers if order == 'RGB' else numbers[::-1])


def _alike(
    found: Sequence[float] | None,
    wanted: Sequence[float],
    absolute: float,
    relative: float = 0.0,
) -> bool:
    return found is not None and all(
        abs(a - b) <= absolute + relative * b
        for a, b in zip(found, wanted, strict=True)
    )


RULE = Rule(
    name='preprocess',
    finds='Mean, std or order of the channels other than the pretrained weights were '
    'trained on.',
    why='It trains, and worse: the first layers see inputs of another range or order '
    'than they know.',
    example="_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"
    'model = dict(data_preprocessor=dict(mean=[0.0] * 3, std=[255.0] * 3))',
    fix='Write those of the weights, which is safe.',
    look=preprocess,
)
