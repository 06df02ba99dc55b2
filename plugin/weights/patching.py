"""Replace an attribute of another package, and put it back.

What is replaced, and why, stands in :mod:`plugin.weights.patches`.
"""

from __future__ import annotations

import functools
import sys
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Replacing = Callable[[Callable], Callable]
"""Takes the original function and returns the one to call instead."""


@dataclass(frozen=True)
class Patch:
    """One attribute of another package that is replaced.

    Attributes:
        owner: Dotted path of the module or class that holds it.
        attribute: Its name there.
        what: What the replacement does.
        why: What is missing upstream.
        until: The package, the version that was read, and with which change in it the
            patch can go.
        reach: Whose code meets the replacement.
        replacing: Makes the replacement; None where another module does it.
    """

    owner: str
    attribute: str
    what: str
    why: str
    until: str
    reach: str
    replacing: Replacing | None = None

    @property
    def name(self) -> str:
        """Dotted path of the attribute."""
        return f'{self.owner}.{self.attribute}'

    def holder(self) -> object | None:
        """Return the module or class with the attribute; None before its import."""
        module = self.owner
        while module and module not in sys.modules:
            module = module.rpartition('.')[0]
        rest = self.owner.removeprefix(module).strip('.')
        holder: Any = sys.modules.get(module)
        for part in filter(None, rest.split('.')):
            holder = getattr(holder, part, None)
        return holder


_lock = threading.RLock()
# Wanted ones, with (holder, original, replacement) as soon as their package is there.
_installed: dict[Patch, tuple[object, Any, Any] | None] = {}
# Classes of which a method has been replaced, and under which name.
_classes: weakref.WeakKeyDictionary[type, dict[str, Callable]] = (
    weakref.WeakKeyDictionary()
)
_generation = 0


def install(patches: tuple[Patch, ...]) -> None:
    """Replace the attributes, now or when :func:`install_late` finds their package.

    A patch that is installed already is left alone.
    """
    with _lock:
        for patch in patches:
            _installed.setdefault(patch, None)
    install_late()


def install_late() -> None:
    """Replace what is wanted of packages that have been imported since."""
    if all(_installed.values()):
        return
    with _lock:
        for patch, done in list(_installed.items()):
            holder = None if done else patch.holder()
            if holder is not None:
                _installed[patch] = _replace(patch, holder)


def remove() -> None:
    """Put back every attribute, also the methods of classes.

    What somebody else has replaced since is left to them. The replacement in it then
    only calls the original.
    """
    global _generation
    with _lock:
        _generation += 1
        for done in _installed.values():
            if done is not None:
                holder, original, replacement = done
                if vars(holder).get(original[0]) is replacement:
                    setattr(holder, *original)
        _installed.clear()
        for cls, methods in list(_classes.items()):
            for name, replacement in methods.items():
                if vars(cls).get(name) is replacement:
                    setattr(cls, name, replacement.__wrapped__)
        _classes.clear()


def replace_method(cls: type, name: str, replacing: Replacing) -> None:
    """Replace a method of ``cls``, until :func:`remove`; doing it twice is harmless."""
    with _lock:
        method = vars(cls)[name]
        if _classes.get(cls, {}).get(name) is not method:
            replacement = _while_installed(method, replacing(method))
            _classes.setdefault(cls, {})[name] = replacement
            setattr(cls, name, replacement)


def _replace(patch: Patch, holder: object) -> tuple[object, Any, Any]:
    if patch.attribute not in vars(holder):
        raise RuntimeError(
            f'plugin replaces {patch.name}, which the installed '
            f'{patch.owner.partition(".")[0]} does not have; install the versions of '
            'constraints.txt, or set MM_BACKBONE_PATCHES=0'
        )
    original = vars(holder)[patch.attribute]
    function = getattr(original, '__func__', original)
    replacement: Any = _while_installed(function, patch.replacing(function))
    if isinstance(original, classmethod):
        replacement = classmethod(replacement)
    setattr(holder, patch.attribute, replacement)
    return holder, (patch.attribute, original), replacement


def _while_installed(original: Callable, replacement: Callable) -> Callable:
    """``replacement`` until :func:`remove`, then ``original``.

    Others may have kept it: an alias in a class body, a wrapper around it.
    """
    generation = _generation

    @functools.wraps(original)
    def call(*args, **kwargs):
        if generation != _generation:
            return original(*args, **kwargs)
        return replacement(*args, **kwargs)

    return call
