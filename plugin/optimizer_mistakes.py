"""What is wrong with an ``optim_wrapper``, in one line with its key."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS, OPTIMIZERS

from plugin.registered import not_registered, not_taken, resolve


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
    """What a constructor, an optimizer or a wrapper has raised, with the key.

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
