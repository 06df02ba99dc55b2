"""Settings besides the model that follow from a new backbone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from plugin.config.text import Name
from plugin.measure.normalization import IMAGENET, Normalization
from plugin.swap.base import Base
from plugin.swap.draft import Draft
from plugin.swap.trial import Trial

# Detectors and segmentors with ConvNeXt or Swin take this at 16 images.
_RATE = '1e-4'
_IMAGES = 16


def train_with(base: Base, trial: Trial, draft: Draft) -> list[str]:
    """Write optimizer, collation and the search for idle parameters into ``draft``.

    Returns:
        What was changed, in words.
    """
    notes = []
    constructor = _name(base.cfg.optim_wrapper.get('constructor'))
    by_name = constructor in base.wiring.named_groups and bool(trial.other_names)
    optimizer = _name(base.cfg.optim_wrapper.get('optimizer', {}).get('type'))
    if by_name or (trial.layer_norm and optimizer == 'SGD'):
        _adamw(base, trial, draft, constructor if by_name else '')
        notes.append(f'AdamW instead of {optimizer}')
    elif constructor in base.wiring.layer_decay:
        _own_layer_decay(base, draft)
        notes.append('layer decay by the depths of this backbone')
    elif keys := _keys_of_pyramid(base, draft):
        why = 'The pyramid begins with random weights, and would train as the backbone.'
        draft.add(('optim_wrapper', dict(paramwise_cfg=keys), why))
    if trial.without_gradient and not base.cfg.get('find_unused_parameters'):
        shown = _folded(trial.without_gradient)
        why = (
            f'No map that is read depends on {shown}: without a gradient, at which '
            'distributed training stops unless it looks for such parameters.'
        )
        draft.add(('find_unused_parameters', True, why))
        notes.append('find_unused_parameters')
    _collate(base, draft)
    return notes


def _adamw(base: Base, trial: Trial, draft: Draft, by_name: str) -> None:
    rate = _RATE
    why = 'AdamW, as backbones with layer norms are trained'
    if base.images not in (None, _IMAGES):
        rate = f'{_RATE} * ({base.images} / {_IMAGES}) ** 0.5'
        why += f': {_RATE} at {_IMAGES} images, by the square root for {base.images}'
    why += '.'
    if by_name:
        names = ', '.join(trial.other_names[:3])
        why = f'{by_name} would leave out {names}. {why}'
    old = base.cfg.optim_wrapper.get('paramwise_cfg') or {}
    none: dict[str, Any] = {
        key: 0.0
        for key in ('norm_decay_mult', 'bias_decay_mult', 'flat_decay_mult')
        if by_name or key not in old
    }
    none |= {} if by_name else _keys_of_pyramid(base, draft)
    wrapper: dict[str, Any] = {}
    if by_name:
        wrapper['constructor'] = 'DefaultOptimWrapperConstructor'
    wrapper['optimizer'] = dict(
        _delete_=True, type='AdamW', lr=Name('base_lr'), weight_decay=0.05
    )
    if none:
        fresh = dict(_delete_=True) if by_name and old else {}
        wrapper['paramwise_cfg'] = {**fresh, **none}
    schedule = _plain_schedule(base) if by_name else _least_rates(base)
    draft.add(('base_lr', Name(rate), why), ('optim_wrapper', wrapper, ''), *schedule)


def _keys_of_pyramid(base: Base, draft: Draft) -> dict[str, Any]:
    """Return ``custom_keys`` where those of the base would reach a pyramid."""
    if draft.model['backbone'].get('type') != 'plugin.PyramidBackbone':
        return {}
    old = base.cfg.optim_wrapper.get('paramwise_cfg') or {}
    if 'lr_mult' not in (old.get('custom_keys') or {}).get('backbone', {}):
        return {}
    return dict(custom_keys={'backbone.pyramid': dict(lr_mult=1.0)})


def _least_rates(base: Base) -> list[tuple[str, Any, str]]:
    """Schedules that end at a rate of their own end at the same share of the new."""
    schedulers = base.cfg.get('param_scheduler') or []
    single = isinstance(schedulers, Mapping)
    before = base.cfg.optim_wrapper.optimizer.get('lr')
    found = []
    for i, scheduler in enumerate([schedulers] if single else schedulers):
        least = scheduler.get('eta_min')
        if least and before:
            place = 'param_scheduler' + ('' if single else f'[{i}]')
            share = f'{least / before:.6g}'
            found.append((f'{place}.eta_min', Name(f'base_lr * {share}'), ''))
    if found:
        found.insert(0, ('param_scheduler', Name('_base_.param_scheduler'), ''))
    return found


def _plain_schedule(base: Base) -> list[tuple[str, Any, str]]:
    """mmengine's schedule for that of a hook that counts on groups by name."""
    hook = base.cfg.get('default_hooks', {}).get('param_scheduler') or {}
    if _name(hook.get('type')) not in base.wiring.bias_hooks:
        return _least_rates(base)
    return [
        (
            'default_hooks',
            dict(param_scheduler=dict(_delete_=True, type='ParamSchedulerHook')),
            f'{_name(hook.get("type"))} takes the third group for the biases.',
        ),
        (
            'param_scheduler',
            [
                dict(
                    type='LinearLR',
                    start_factor=0.001,
                    by_epoch=False,
                    begin=0,
                    end=1000,
                ),
                dict(
                    type='CosineAnnealingLR',
                    eta_min_ratio=0.01,
                    convert_to_iter_based=True,
                ),
            ],
            '',
        ),
    ]


def _own_layer_decay(base: Base, draft: Draft) -> None:
    old = base.cfg.optim_wrapper.get('paramwise_cfg') or {}
    kept = {
        'decay_rate': old.get('decay_rate', old.get('layer_decay_rate')),
        'decay_type': old.get('decay_type'),
    }
    kept = {key: value for key, value in kept.items() if value is not None}
    draft.add(
        (
            'optim_wrapper',
            dict(
                constructor='LayerDecayOptimWrapperConstructor',
                paramwise_cfg=dict(_delete_=True, **kept),
            ),
            "The base's constructor knows the layers of its own backbone only.",
        )
    )


def _collate(base: Base, draft: Draft) -> None:
    """mmengine hands a function what the config says, its own mark of scope too."""
    collate = (base.cfg.get('train_dataloader') or {}).get('collate_fn') or {}
    if '_scope_' not in collate:
        return
    rest = {k: v for k, v in collate.items() if k != '_scope_'}
    draft.add(
        (
            'train_dataloader',
            dict(collate_fn=dict(_delete_=True, **rest)),
            f'mmengine 0.10.7 marks what comes from `{base.scope}::` with its scope, '
            'and then calls this function with the mark as an argument.',
        )
    )


def _folded(names: tuple[str, ...]) -> str:
    """Names of parameters, by the module that is theirs alone."""
    modules = dict.fromkeys(name.rpartition('.')[0] or name for name in names)
    tops = dict.fromkeys(re.match(r'[^.]+(\.\d+)?', m)[0] for m in modules)
    shown = list(tops)
    return ', '.join(shown[:3]) + (' and others' if shown[3:] else '')


def _name(type_: Any) -> str:
    name = type_ if isinstance(type_, str) else getattr(type_, '__name__', '')
    return name.rpartition('.')[2]


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
    """Return what a data preprocessor of mmengine feeds; images are read as BGR."""
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
