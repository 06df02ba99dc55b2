"""What a ``type`` of a config means, and what it takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from mmengine.registry import Registry


def resolve(registry: Registry, type_: Any) -> Any:
    """The class that ``registry`` would build, in the present default scope.

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
    """That ``type_``, which the config has at ``key``, is not in a root registry."""
    for child in registry.children.values():
        child.import_from_location()
    names = list(registry.module_dict)
    for scope, child in registry.children.items():
        names += [f'{scope}.{name}' for name in child.module_dict]
    return f'{key}={type_!r} is not registered{_near(type_, names)}'


def not_taken(key: str, name: str, cls: type) -> str:
    """That ``cls``, which the config has at ``key``, takes no ``name``."""
    return (
        f'{key} has the key {name!r}, which {cls.__name__} does not take'
        f'{_near(name, arguments_of(cls))}'
    )


def arguments_of(cls: type) -> set[str]:
    """What a class takes, with what it hands on to its bases."""
    bases = [base for base in cls.__mro__[:-1] if '__init__' in vars(base)]
    taken = {name for base in bases for name in inspect.signature(base).parameters}
    return taken - {'params', 'args', 'kwargs'}


def _near(name: str, allowed: Iterable[str]) -> str:
    found = get_close_matches(name, sorted(allowed), n=3)
    return f'; did you mean {" or ".join(found)}?' if found else ''
