"""Entries of a config that are not what mmengine takes there, whatever they say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from plugin.config.parts import child_key
from plugin.config.problem import ERROR, Problem

_DICT, _LIST = 'a dict', 'a list of dicts, each with a type'
# What the runner reads by itself. None stands for an entry that is left out.
_TAKEN: Mapping[str, tuple[tuple[type, ...], str]] = {
    **dict.fromkeys(
        (
            'custom_imports',
            'data_preprocessor',
            'default_hooks',
            'model_wrapper_cfg',
            'optim_wrapper',
            'test_cfg',
            'test_dataloader',
            'train_cfg',
            'train_dataloader',
            'val_cfg',
            'val_dataloader',
            'visualizer',
        ),
        ((Mapping,), _DICT),
    ),
    **dict.fromkeys(
        ('custom_hooks', 'tta_pipeline'),
        ((list, tuple), _LIST),
    ),
    **dict.fromkeys(
        ('param_scheduler', 'test_evaluator', 'val_evaluator'),
        ((Mapping, list, tuple), f'{_DICT}, or {_LIST}'),
    ),
}


def entry_problems(cfg: Config) -> Iterator[Problem]:
    """Each entry that nothing can be read from: where it is and what belongs there.

    Args:
        cfg: As it was read.
    """
    yield from _model(cfg)
    for key, (types, expected) in _TAKEN.items():
        value = cfg.get(key)
        if value is None or _is_told_elsewhere(key, value):
            continue
        if not isinstance(value, types):
            yield _problem(key, value, expected)
        elif isinstance(value, (list, tuple)) and expected != _DICT:
            for index, one in enumerate(value):
                if not isinstance(one, Mapping) or 'type' not in one:
                    yield _problem(f'{key}[{index}]', one, 'a dict with a type')
    for key in ('model', 'optim_wrapper', 'train_dataloader', 'custom_hooks'):
        yield from _types(cfg.get(key), key)


def _model(cfg: Config) -> Iterator[Problem]:
    if 'model' not in cfg:
        return
    model = cfg['model']
    if not isinstance(model, Mapping):
        yield _problem('model', model, 'a dict with a type')
    elif 'type' not in model and cfg.get('default_scope'):
        # In a piece of a config, which others inherit from, it may be missing.
        yield Problem(
            'model.type', 'argument', ERROR, 'nothing', 'a class', unknown='model.type'
        )
    else:
        given = model.get('data_preprocessor')
        if given is not None and not isinstance(given, Mapping):
            yield _problem('model.data_preprocessor', given, _DICT)


def _types(node: Any, key: str) -> Iterator[Problem]:
    """Types that are neither a name nor a class."""
    if isinstance(node, Mapping):
        if 'type' in node and not (
            isinstance(node['type'], str) or callable(node['type'])
        ):
            expected = 'the name of a class, or the class'
            yield _problem(f'{key}.type', node['type'], expected)
        for name, child in node.items():
            yield from _types(child, child_key(key, name))
    elif isinstance(node, (list, tuple)):
        for index, child in enumerate(node):
            yield from _types(child, f'{key}[{index}]')


def _is_told_elsewhere(key: str, value: Any) -> bool:
    """Whether import_problems makes sense of it."""
    return key == 'custom_imports' and isinstance(value, (str, list, tuple))


def _problem(key: str, value: Any, expected: str) -> Problem:
    found = value if isinstance(value, (int, float, str, bool)) else repr(value)
    return Problem(key, 'argument', ERROR, found, expected, unknown=key)
