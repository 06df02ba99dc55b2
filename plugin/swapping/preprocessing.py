"""Mean and standard deviation that go with a backbone's weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plugin.preprocessing import IMAGENET, Normalization
from plugin.swapping.base import Base
from plugin.swapping.draft import Draft


def feed(base: Base, wanted: Normalization, draft: Draft) -> None:
    """Write into ``draft`` what the weights want, where the base does otherwise."""
    now = base.data_preprocessor
    has = _normalization(now)
    if _same(has, wanted):
        return
    step = -1 if wanted.order == 'BGR' else 1
    written: dict[str, Any] = dict(
        mean=_numbers(wanted.mean[::step]), std=_numbers(wanted.std[::step])
    )
    if wanted.order != has.order:
        written['bgr_to_rgb'] = wanted.order == 'RGB'
    draft.assign('model.data_preprocessor', written, _why(has, wanted))


def _normalization(now: Mapping[str, Any]) -> Normalization:
    """What a data preprocessor of mmengine feeds; images are read as BGR."""
    order = 'RGB' if now.get('bgr_to_rgb') or now.get('to_rgb') else 'BGR'
    step = 1 if order == 'RGB' else -1
    mean, std = now.get('mean') or (0.0,) * 3, now.get('std') or (1.0,) * 3
    return Normalization(tuple(mean)[::step], tuple(std)[::step], order)


def _same(one: Normalization, other: Normalization) -> bool:
    pairs = zip((*one.mean, *one.std), (*other.mean, *other.std), strict=True)
    return one.order == other.order and all(abs(a - b) < 0.01 for a, b in pairs)


def _why(has: Normalization, wanted: Normalization) -> str:
    if set(has.mean) == {0.0} and set(has.std) == {255.0}:
        theirs = 'The base feeds 0 to 1'
    elif set(has.mean) == {0.0} and set(has.std) == {1.0}:
        theirs = f'The base feeds {has.order} from 0 to 255'
    elif _same(Normalization(has.mean, has.std, wanted.order), wanted):
        return f'These weights were trained on {wanted.order}.'
    else:
        return "As these weights were trained; the base's are for its own."
    whose = (
        "ImageNet's mean and std" if _is_imagenet(wanted) else 'another mean and std'
    )
    return f'{theirs}; these weights come from {whose}.'


def _is_imagenet(found: Normalization) -> bool:
    return _same(Normalization(found.mean, found.std), IMAGENET)


def _numbers(values: Sequence[float]) -> list[float]:
    return [float(value) for value in values]
