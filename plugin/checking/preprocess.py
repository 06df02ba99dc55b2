"""What a config feeds, against what its pretrained weights were trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plugin.checking.data_sets import data_sets
from plugin.checking.origins import (
    TIMM,
    WHOLE,
    Origin,
    fills_backbone,
    origins,
)
from plugin.checking.problem import WARNING, Problem, assign, both
from plugin.checking.subject import Subject
from plugin.preprocessing import (
    Normalization,
    normalization_of,
    normalization_of_checkpoint,
)
from plugin.wiring import type_name

# Grey levels, and a share of the standard deviation: 122.77 for 123.675 is no mistake.
_CLOSE_MEAN, _CLOSE_STD = 2.0, 0.05
# Where no preprocessor is written, a model does not normalize.
_TYPES = {'mmdet': 'DetDataPreprocessor', 'mmseg': 'SegDataPreProcessor'}


def preprocess(subject: Subject) -> Iterator[Problem]:
    """Compare mean, std and channel order with those of the pretrained weights."""
    wanted = _wanted(subject)
    place = _place(subject)
    if wanted is None or place is None or _is_fed_otherwise(subject):
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
        )
        return
    fix = both(assign(f'{key}.{name}', value) for name, value in right.items())
    if not entry:
        fix = assign(key, dict(type=_TYPES[subject.scope], **right))
    yield Problem(key, 'preprocess', WARNING, found, right, fix)


def _wanted(subject: Subject) -> Normalization | None:
    """What the weights want that are in the backbone when training begins."""
    found = [o for o in origins(subject) if fills_backbone(subject, o)]
    if not found:
        return None
    return _normalization(subject, max(found, key=_lateness))


def _lateness(origin: Origin) -> tuple[bool, int]:
    # mmengine initializes the inner parts first, and load_from comes after all.
    return origin.way == WHOLE, -origin.target.count('.')


def _normalization(subject: Subject, origin: Origin) -> Normalization | None:
    if origin.way == TIMM:
        return normalization_of(subject.backbone_cfg)
    return normalization_of_checkpoint(origin.address)


def _place(subject: Subject) -> tuple[str, Mapping[str, Any]] | None:
    """Where the data preprocessor is, and its entry there."""
    key, entry = 'model.data_preprocessor', subject.model.get('data_preprocessor')
    if entry is None:
        key, entry = 'data_preprocessor', subject.cfg.get('data_preprocessor')
    if entry is None:
        known = subject.scope in _TYPES
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
    """The key that swaps the channels, and whether they are swapped."""
    for flag in ('bgr_to_rgb', 'rgb_to_bgr', 'to_rgb'):
        if entry.get(flag):
            return flag, True
    return ('to_rgb' if 'to_rgb' in entry else 'bgr_to_rgb'), False


def _is_fed_otherwise(subject: Subject) -> bool:
    """Whether images are no BGR from 0 to 255 when the preprocessor gets them."""
    for data_set in data_sets(subject.cfg, 'train_dataloader'):
        if type_name(data_set.cfg).startswith(('CIFAR', 'MNIST', 'FashionMNIST')):
            return True
        steps = data_set.cfg.get('pipeline') or ()
        if any(isinstance(s, Mapping) and type_name(s) == 'Normalize' for s in steps):
            return True
    return False


def _in_order(numbers: Sequence[float], order: str) -> list[float]:
    """Numbers of red, green and blue in the order that the images are in."""
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
