"""A backbone's class, and the backbone itself built from its config."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from mmengine.config import ConfigDict
from mmengine.registry import MODELS, DefaultScope, Registry
from torch import nn

from plugin.libraries import SCOPES
from plugin.measure.build import build_on_meta, without_weights
from plugin.measure.signatures import signature_of
from plugin.nearest import did_you_mean, nearest


def build(cfg: Mapping[str, Any], meta: bool = False) -> nn.Module:
    """Build the backbone of ``cfg``, with random weights.

    Args:
        cfg: As a config has it. What would load weights is left out.
        meta: Without memory for its weights, where the class allows it.

    Raises:
        ValueError: There is no such type, or it doesn't take these arguments.
    """
    cfg = without_weights(cfg)
    try:
        if meta:
            try:
                return build_on_meta(lambda: _build(cfg))
            except (RuntimeError, NotImplementedError):
                pass  # It asks for values while it is built.
        return _build(cfg)
    except KeyError as error:
        name = type_name(cfg)
        reason = f'{name}: {error.args[0] if error.args else error}'
        if not isinstance(cfg['type'], str):
            raise ValueError(reason) from None
        raise ValueError(_unknown(name, reason)) from None
    except TypeError as error:
        raise ValueError(f'{type_name(cfg)}: {error}') from None


def check(cfg: Mapping[str, Any]) -> None:
    """Raise ValueError if there is no such type, or it doesn't take an argument."""
    signature = signature_of(class_of(cfg))
    for name in cfg if signature else ():
        if name not in ('type', '_scope_', *signature.names):
            raise ValueError(refusal(type_name(cfg), name, signature.names))


def refusal(owner: str, name: str, allowed: Collection[str]) -> str:
    """Return the message that a class takes no argument of this name."""
    otherwise = f'; it takes {", ".join(allowed) or "no arguments"}'
    return f'{owner} takes no {name}{did_you_mean(name, allowed) or otherwise}'


def _build(cfg: dict[str, Any]) -> nn.Module:
    with _scope_of(cfg):
        return MODELS.build(ConfigDict(cfg))


def class_of(cfg: Mapping[str, Any]) -> type:
    """Return the registered class.

    Raises:
        ValueError: There is none of this name.
    """
    if not isinstance(cfg['type'], str):
        return cfg['type']
    with _scope_of(cfg):
        cls = MODELS.get(type_name(cfg))
    if cls is None:
        raise ValueError(_unknown(type_name(cfg)))
    return cls


def type_name(cfg: Mapping[str, Any]) -> str:
    """Return the type of a backbone with its scope, as a user writes it."""
    type_ = cfg['type']
    if not isinstance(type_, str):
        # In the pure-Python style it is the class.
        return f'{type_.__module__.partition(".")[0]}.{type_.__name__}'
    return type_ if '.' in type_ else f'{cfg.get("_scope_")}.{type_}'


@contextmanager
def _scope_of(cfg: Mapping[str, Any]) -> Iterator[None]:
    """Use the scope in which a backbone and what it is made of are looked up."""
    scope = cfg.get('_scope_') or type_name(cfg).rpartition('.')[0]
    if scope in SCOPES:
        import_module(f'{scope}.models')
    with DefaultScope.overwrite_default_scope(scope or None):
        yield


def _unknown(type_: str, otherwise: str = '') -> str:
    scope, _, name = type_.rpartition('.')
    try:
        registry = import_module(f'{scope}.registry').MODELS
        registry.import_from_location()
    except (ImportError, AttributeError):
        return f'{type_}: there is no package {scope} to be imported'
    names = list(registry.module_dict)
    if name in names:
        return otherwise
    near = nearest(name, names)
    return (
        f'{type_} is not registered; the nearest names are '
        f'{", ".join(f"{scope}.{n}" for n in near)}'
    )


# Where classes keep their variants, and the arguments that choose one.
_TABLES = ('arch_zoo', 'arch_settings', 'ARCHS')
CHOICES = ('arch', 'depth')


def variants_of(cls: type, argument: str) -> Mapping[Any, Any]:
    """Return the variants that an argument chooses from; empty where that is not known.

    Args:
        cls: A class that keeps a table of them, or whose module does.
        argument: One of ``CHOICES``.
    """
    for holder in (cls, sys.modules[cls.__module__]) if argument in CHOICES else ():
        for table in _TABLES:
            found = getattr(holder, table, None)
            if isinstance(found, Mapping) and found:
                return found
    return {}


def registered() -> Iterator[tuple[str, type]]:
    """Every type that is registered by now, as a user writes it, and its class."""

    def walk(registry: Registry) -> Iterator[tuple[str, type]]:
        for name, cls in registry.module_dict.items():
            yield f'{registry.scope}.{name}', cls
        for child in registry.children.values():
            yield from walk(child)

    yield from walk(MODELS)
