"""The parts of a config that mmengine builds: each dict with a ``type``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from io import StringIO
from typing import Any

from mmengine import registry as roots
from mmengine.registry import DefaultScope, Registry

ANY = 'ANY'
"""Stands for whichever of ``WITHIN`` knows the type: the place does not say."""

WITHIN = ('MODELS', 'TASK_UTILS', 'TRANSFORMS', 'WEIGHT_INITIALIZERS', 'DATASETS')

# What a key says of the registry that its value is built from, wherever it stands.
_BY_KEY = {
    'init_cfg': 'WEIGHT_INITIALIZERS',
    'pipeline': 'TRANSFORMS',
    'transforms': 'TRANSFORMS',
    'pre_transform': 'TRANSFORMS',
    'switch_pipeline': 'TRANSFORMS',
    'dataset': 'DATASETS',
    'datasets': 'DATASETS',
    'sampler': 'DATA_SAMPLERS',
    'batch_sampler': 'DATA_SAMPLERS',
    'collate_fn': 'FUNCTIONS',
    'worker_init_fn': 'FUNCTIONS',
    'optimizer': 'OPTIMIZERS',
    'vis_backends': 'VISBACKENDS',
    'metrics': 'METRICS',
    'backbone': 'MODELS',
    'neck': 'MODELS',
    'decode_head': 'MODELS',
    'auxiliary_head': 'MODELS',
    'bbox_head': 'MODELS',
    'rpn_head': 'MODELS',
    'roi_head': 'MODELS',
    'mask_head': 'MODELS',
    'head': 'MODELS',
    'head_module': 'MODELS',
    'data_preprocessor': 'MODELS',
    'batch_augments': 'MODELS',
    'augments': 'BATCH_AUGMENTS',
    'tokenizer': 'TOKENIZER',
    'loss': 'MODELS',
    'anchor_generator': 'TASK_UTILS',
    'prior_generator': 'TASK_UTILS',
    'bbox_coder': 'TASK_UTILS',
    'assigner': 'TASK_UTILS',
    'iou_calculator': 'TASK_UTILS',
}
# In a model a sampler takes boxes, not images.
_IN_MODELS = {'sampler': 'TASK_UTILS', 'dataset': ANY, 'datasets': ANY, 'metrics': ANY}
# Their type is the name of a function, of an op or of a mode: no registry has it. And
# mmpretrain's `prototype` is a data loader inside a model.
_NO_TYPES = {
    'nms',
    'nms_cfg',
    'mask_nms',
    'tracker_nms',
    'dqs_cfg',
    'upsample_cfg',
    'adapt_cfg',
    'roi_layer',
    'targets',
    'prototype',
    *(f'{way}_trans' for way in ('same_up', 'same_down', 'across_up', 'across_down')),
    *(f'{way}_trans' for way in ('across_lateral', 'across_skip', 'output')),
}


@dataclass(frozen=True)
class Part:
    """A dict that is built, or a type that is named on its own.

    Attributes:
        key: Where it is, such as ``model.neck``.
        cfg: What the config has there; its ``type`` may be missing where the runner
            has a default.
        registry: From which registry it is built, a name in ``mmengine.registry``.
        scope: The scope in which its type is looked up.
        type_key: Where its type is written.
        type: The type: a name or a class.
        target: The class or function; None if it can't be found.
    """

    key: str
    cfg: Mapping[str, Any]
    registry: str
    scope: str
    type_key: str
    type: Any
    target: Callable | None

    @property
    def name(self) -> str:
        """Its type in words."""
        return self.type if isinstance(self.type, str) else self.type.__name__


def parts(cfg: Mapping[str, Any], scope: str) -> list[Part]:
    """Everything in a config that training, validation or testing builds.

    Args:
        cfg: The config.
        scope: Its ``default_scope``.
    """
    found: list[Part] = []
    # A pipeline of testing has the types of that of training.
    find_once = cache(find)
    for key, node, registry, default in _places(cfg):
        found += _walk(find_once, node, key, registry, scope, default)
    return found


def registry_of(name: str, scope: str) -> Registry | None:
    """Return the registry of one scope; the root where the scope has none of this name.

    None if a library has a registry of this name of its own, and it is not this one.
    """
    root = getattr(roots, name, None)
    module = None
    if scope != 'mmengine':
        try:
            module = import_module(f'{scope}.registry')
        except ImportError:
            return root
    if root is None:
        return getattr(module, name, None)
    own = root._search_child(scope)
    # An empty registry is false.
    return root if own is None else own


def find(name: str, registry: str, scope: str) -> Callable | None:
    """Return the class or function of a type, as mmengine finds it to build."""
    if registry == 'FUNCTIONS':
        # They are registered beside the data sets, which are built before.
        registry_of('DATASETS', scope).import_from_location()
    kinds = WITHIN if registry == ANY else (registry,)
    registries = [registry_of(kind, scope) for kind in kinds]
    # mmengine logs on the console what it can't import.
    with DefaultScope.overwrite_default_scope(scope), redirect_stdout(StringIO()):
        for own in registries:
            try:
                found = None if own is None else own.get(name)
            except (RuntimeError, ImportError, AttributeError, ValueError):
                found = None
            if found is not None:
                return found
    return None


def _places(
    cfg: Mapping[str, Any],
) -> Iterator[tuple[str, Any, str, str | None]]:
    """Key, value, registry and default type of what the runner builds itself."""
    for key in ('model', 'tta_model', 'data_preprocessor'):
        yield key, cfg.get(key), 'MODELS', None
    for mode in ('train', 'val', 'test'):
        yield f'{mode}_dataloader', cfg.get(f'{mode}_dataloader'), '', None
        yield f'{mode}_evaluator', cfg.get(f'{mode}_evaluator'), 'METRICS', None
        yield f'{mode}_cfg', cfg.get(f'{mode}_cfg'), 'LOOPS', None
    yield 'tta_pipeline', cfg.get('tta_pipeline'), 'TRANSFORMS', None
    yield 'optim_wrapper', cfg.get('optim_wrapper'), 'OPTIM_WRAPPERS', 'OptimWrapper'
    yield 'param_scheduler', cfg.get('param_scheduler'), 'PARAM_SCHEDULERS', None
    for name, hook in (cfg.get('default_hooks') or {}).items():
        yield f'default_hooks.{name}', hook, 'HOOKS', None
    yield 'custom_hooks', cfg.get('custom_hooks'), 'HOOKS', None
    yield 'visualizer', cfg.get('visualizer'), 'VISUALIZERS', None
    yield 'log_processor', cfg.get('log_processor'), 'LOG_PROCESSORS', 'LogProcessor'


def _walk(
    find: Callable[[str, str, str], Callable | None],
    node: Any,
    key: str,
    registry: str,
    scope: str,
    default: str | None = None,
) -> Iterator[Part]:
    if isinstance(node, Sequence) and not isinstance(node, str):
        for i, child in enumerate(node):
            yield from _walk(find, child, f'{key}[{i}]', registry, scope)
        return
    if not isinstance(node, Mapping):
        return
    scope = node.get('_scope_') or scope
    own = node.get('type', default)
    target = None
    if registry == 'METRICS' and 'metrics' in node:
        registry, own = 'EVALUATOR', node.get('type', 'Evaluator')
    if registry and (isinstance(own, str) or callable(own)):
        target = own if callable(own) else find(own, registry, scope)
        yield Part(key, node, registry, scope, f'{key}.type', own, target)
    constructor = node.get('constructor')
    if registry == 'OPTIM_WRAPPERS' and constructor is not None:
        kind = 'OPTIM_WRAPPER_CONSTRUCTORS'
        found = constructor if callable(constructor) else find(constructor, kind, scope)
        where = f'{key}.constructor'
        yield Part(where, {}, kind, scope, where, constructor, found)
    if getattr(target, '__name__', '') == 'Albu':
        return  # Its transforms are albumentations', by their names there.
    for name, child in node.items():
        if not isinstance(child, (Mapping, list, tuple)) or name in _NO_TYPES:
            continue
        inside = _inside(registry, name)
        yield from _walk(find, child, child_key(key, name), inside, scope)


def _inside(registry: str, name: str) -> str:
    """Return the registry of what ``name`` holds in an entry of ``registry``."""
    if registry in ('MODELS', 'TASK_UTILS', ANY) and name in _IN_MODELS:
        return _IN_MODELS[name]
    if registry == 'TRANSFORMS':
        return _BY_KEY.get(name, 'TRANSFORMS')
    if registry == 'OPTIM_WRAPPERS' and name != 'optimizer':
        return 'OPTIM_WRAPPERS' if name not in _OF_WRAPPER else ''
    return _BY_KEY.get(name, ANY)


# Of an optimizer wrapper; any other dict is a wrapper of several.
_OF_WRAPPER = {'paramwise_cfg', 'clip_grad', 'type', 'constructor'}


def child_key(key: str, name: Any) -> str:
    """Return the key of an entry of the dict at ``key``."""
    if isinstance(name, str) and name.isidentifier():
        return f'{key}.{name}'
    return f'{key}[{name!r}]'
