"""The optimizer of a config, built for a model that is on the meta device."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from mmengine.config import Config
from mmengine.optim import (
    AmpOptimWrapper,
    ApexOptimWrapper,
    DefaultOptimWrapperConstructor,
    OptimWrapper,
    OptimWrapperDict,
)
from mmengine.registry import (
    HOOKS,
    OPTIM_WRAPPER_CONSTRUCTORS,
    OPTIM_WRAPPERS,
    OPTIMIZERS,
    DefaultScope,
    Registry,
)
from torch import nn

from plugin.decay.multipliers import MMENGINE_KEYS, check_keys
from plugin.freezing.base_hook import BackboneFreezing
from plugin.freezing.find_backbone import find_backbone
from plugin.freezing.optimizer_groups import optimizers, seeming_to_train
from plugin.measure.signatures import arguments_of
from plugin.nearest import did_you_mean

# Wrappers that cannot be built where there is no GPU or no apex.
_NEEDS_A_DEVICE = (AmpOptimWrapper, ApexOptimWrapper)


@dataclass(frozen=True)
class BuiltOptimizer:
    """An optimizer as the first iteration finds it.

    Attributes:
        wrapper: mmengine's wrapper of it.
        summary: Types of optimizer, of wrapper and of the constructor of the groups.
        notes: What that class says of them, and what the hooks freeze.
    """

    wrapper: OptimWrapper | OptimWrapperDict
    summary: str
    notes: tuple[str, ...]


def build_optimizer(cfg: Config, model: nn.Module) -> BuiltOptimizer:
    """Build the optimizer that ``cfg`` makes for ``model``, after its freezing hooks.

    Mixed precision is left out: it needs a GPU, and groups don't depend on it.

    Args:
        cfg: With ``optim_wrapper``; ``custom_hooks`` may freeze, others don't matter.
        model: Its model, on any device. The hooks freeze in it.

    Raises:
        ValueError: Something in ``optim_wrapper`` or in a freezing hook is wrong; the
            key is named.
    """
    entry = _entry(cfg)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        type_ = entry.get('constructor', 'DefaultOptimWrapperConstructor')
        constructor, wrapper = _construct(entry, model)
        notes = list(getattr(constructor, 'notes', ()))
        for hook in freezing_hooks(cfg):
            freeze_as_training_begins(hook, model)
            notes += [f'{type(hook).__name__}: {line}' for line in hook.plan()]
            held = _params(wrapper)
            missing = [param for param in hook.needed() if param not in held]
            if missing:
                # As plugin.freezing.optimizer_groups.take_in does it.
                with seeming_to_train([*held, *missing]):
                    wrapper = _construct(entry, model)[1]
    if (cfg.get('auto_scale_lr') or {}).get('enable'):
        notes.append(
            'auto_scale_lr multiplies every lr by images per iteration, of all GPUs '
            f'together, over {cfg.auto_scale_lr.get("base_batch_size")}; not done here'
        )
    kinds = ' and '.join(type(one).__name__ for one in optimizers(wrapper))
    wrapped = _name(entry.get('type', 'OptimWrapper'))
    summary = f'{kinds} in {wrapped}, by {_name(type_)}'
    return BuiltOptimizer(wrapper, summary, tuple(notes))


def _name(type_: str | type) -> str:
    return type_ if isinstance(type_, str) else type_.__name__


def _entry(cfg: Config) -> Mapping[str, Any]:
    """``optim_wrapper``, which has what it takes to be built."""
    entry = cfg.get('optim_wrapper')
    if entry is None:
        raise ValueError(
            f'{cfg.filename} has no optim_wrapper; write '
            "optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-4)), or inherit "
            'from a schedule of _base_'
        )
    if not isinstance(entry, Mapping):
        raise ValueError(
            f'optim_wrapper={entry!r} must be a dict, such as '
            "dict(optimizer=dict(type='AdamW', lr=1e-4))"
        )
    if 'constructor' in entry:
        return entry
    optimizer = entry.get('optimizer')
    if not isinstance(optimizer, Mapping) or 'type' not in optimizer:
        raise ValueError(
            f'optim_wrapper.optimizer={optimizer!r} must be a dict with a type, such '
            "as dict(type='AdamW', lr=1e-4)"
        )
    return entry


def _construct(entry: Mapping, model: nn.Module) -> tuple[Any, OptimWrapper]:
    """Return the constructor and what it makes; mmengine returns only the latter."""
    written, paramwise_cfg = entry, entry.get('paramwise_cfg')
    check_types(written)
    type_ = entry.get('constructor', 'DefaultOptimWrapperConstructor')
    entry = _without_device(deepcopy(entry))
    for key in ('paramwise_cfg', 'constructor'):
        entry.pop(key, None)
    try:
        constructor = OPTIM_WRAPPER_CONSTRUCTORS.build(
            dict(type=type_, optim_wrapper_cfg=entry, paramwise_cfg=paramwise_cfg)
        )
        if type(constructor) is DefaultOptimWrapperConstructor:
            # It ignores the keys that it doesn't know.
            check_keys(paramwise_cfg or {}, MMENGINE_KEYS, type(constructor).__name__)
        return constructor, constructor(model)
    except ValueError as error:
        raise ValueError(f'optim_wrapper: {error}') from error
    except Exception as error:
        raise ValueError(reason(error, written)) from error


def _without_device(entry: dict[str, Any]) -> dict[str, Any]:
    """Return ``entry`` with a plain wrapper in place of one that needs a GPU."""
    cls = resolve(OPTIM_WRAPPERS, entry.get('type', 'OptimWrapper'))
    if not (isinstance(cls, type) and issubclass(cls, _NEEDS_A_DEVICE)):
        return entry
    mmengines = {'type', '_scope_', 'constructor', 'paramwise_cfg'}
    for key in set(entry) - mmengines - taken_by(OptimWrapper):
        if key not in taken_by(cls):
            raise ValueError(not_taken('optim_wrapper', key, cls))
        del entry[key]
    entry['type'] = OptimWrapper
    return entry


def _params(wrapper: OptimWrapper | OptimWrapperDict) -> dict[nn.Parameter, None]:
    return {
        param: None
        for optimizer in optimizers(wrapper)
        for group in optimizer.param_groups
        for param in group['params']
    }


def check_types(entry: Mapping[str, Any]) -> None:
    """Raise ValueError if a type in it is not registered in the default scope.

    Args:
        entry: ``optim_wrapper``.
    """
    import_module('plugin.registry')
    optimizer = entry.get('optimizer')
    optimizer = optimizer if isinstance(optimizer, Mapping) else {}
    for key, type_, registry in (
        ('constructor', entry.get('constructor'), OPTIM_WRAPPER_CONSTRUCTORS),
        ('type', entry.get('type'), OPTIM_WRAPPERS),
        ('optimizer.type', optimizer.get('type'), OPTIMIZERS),
    ):
        if type_ is not None and resolve(registry, type_) is None:
            raise ValueError(not_registered(f'optim_wrapper.{key}', type_, registry))


def reason(error: Exception, entry: Mapping[str, Any]) -> str:
    """Return what a constructor, an optimizer or a wrapper raised, with the key.

    Args:
        error: Raised while ``entry`` was built.
        entry: ``optim_wrapper``.
    """
    first = (str(error).splitlines() or [''])[0]
    unexpected = re.search(r"unexpected keyword argument '(\w+)'", first)
    places = {
        'optim_wrapper.optimizer': (entry.get('optimizer') or {}, OPTIMIZERS),
        'optim_wrapper': (entry, OPTIM_WRAPPERS),
    }
    for key, (holder, registry) in places.items():
        if unexpected and unexpected[1] in holder:
            cls = resolve(registry, holder.get('type', 'OptimWrapper'))
            return not_taken(key, unexpected[1], cls)
    constructor = entry.get('constructor', 'DefaultOptimWrapperConstructor')
    where = f'optim_wrapper.constructor={constructor!r}'
    if isinstance(error, NotImplementedError) and not first:
        return (
            f'{where} knows the layers of few backbones, and not of this one; write '
            "constructor='plugin.LayerDecayOptimWrapperConstructor', which knows any"
        )
    return f'{where}: {type(error).__name__}: {first}'


def freezing_hooks(cfg: Config) -> list[BackboneFreezing]:
    """Those of ``custom_hooks`` that freeze a backbone, built.

    Args:
        cfg: With its imports done. Other hooks are not built.

    Raises:
        ValueError: A bad argument of such a hook.
    """
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        return [
            _build(entry, f'custom_hooks[{i}]')
            for i, entry in enumerate(cfg.get('custom_hooks') or ())
            if isinstance(entry, Mapping) and _freezes(entry.get('type'))
        ]


def freeze_as_training_begins(hook: BackboneFreezing, model: nn.Module) -> None:
    """Bring ``model`` to where ``hook`` has it in the first iteration.

    Raises:
        ValueError: No backbone, it can't freeze, or a milestone does not fit it.
    """
    hook.begin(*find_backbone(model, hook.backbone))


def _build(entry: Mapping[str, Any], key: str) -> BackboneFreezing:
    cls = resolve(HOOKS, entry['type'])
    for name in set(entry) - {'type', '_scope_', 'priority'} - taken_by(cls):
        raise ValueError(not_taken(key, name, cls))
    try:
        return HOOKS.build({k: v for k, v in entry.items() if k != 'priority'})
    except ValueError as error:
        raise ValueError(f'{key}: {error}') from error


def _freezes(type_: Any) -> bool:
    cls = resolve(HOOKS, type_)
    return isinstance(cls, type) and issubclass(cls, BackboneFreezing)


def resolve(registry: Registry, type_: Any) -> Any:
    """Return the class that ``registry`` would build, in the present default scope.

    Args:
        registry: A root registry. Its own ``get`` does not look at the default scope.
        type_: A registered name, or a class, as the pure Python style has it.

    Returns:
        None if the name is not registered.
    """
    if not isinstance(type_, str):
        return type_
    with registry.switch_scope_and_registry(None) as scoped:
        return scoped.get(type_)


def not_registered(key: str, type_: str, registry: Registry) -> str:
    """Return the message that ``type_``, at ``key``, is not in a root registry."""
    for child in registry.children.values():
        child.import_from_location()
    names = list(registry.module_dict)
    for scope, child in registry.children.items():
        names += [f'{scope}.{name}' for name in child.module_dict]
    return f'{key}={type_!r} is not registered{did_you_mean(type_, names)}'


def not_taken(key: str, name: str, cls: type) -> str:
    """Return the message that ``cls``, at ``key``, takes no ``name``."""
    return (
        f'{key} has the key {name!r}, which {cls.__name__} does not take'
        f'{did_you_mean(name, taken_by(cls))}'
    )


def taken_by(cls: type) -> set[str]:
    """Return the arguments that a config can give to an optimizer, wrapper or hook."""
    return set(arguments_of(cls).names) - {'params'}
