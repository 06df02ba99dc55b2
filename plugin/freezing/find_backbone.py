"""Find the backbone: one rule for models, for their configs and for layer decay.

A backbone is the outermost part that is called one: ``backbone``, ``img_backbone``,
``backbone2``. Of several, the one that is called ``backbone`` in the model itself is
meant, or the only one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from torch import nn

_NAME = re.compile(r'(.*_)?backbone(\d*|_.*)')
Part = TypeVar('Part')


def is_called_backbone(path: str) -> bool:
    """Return whether the last part of a dotted name is that of a backbone."""
    return _NAME.fullmatch(path.rpartition('.')[2]) is not None


def outermost(
    whole: Part,
    children: Callable[[Part], Iterable[tuple[str, Part]]],
    is_one: Callable[[str, Part], bool],
) -> dict[str, Part]:
    """Return the outermost parts of ``whole`` that fit, by their dotted names.

    Args:
        whole: A model, or the config of one; it may be one itself, under ``''``.
        children: The parts of a part, by name.
        is_one: Whether a part fits, by its dotted name and itself.
    """
    found: dict[str, Part] = {}

    def search(part: Part, path: str) -> None:
        if is_one(path, part):
            found[path] = part
            return
        for name, child in children(part):
            search(child, f'{path}.{name}' if path else name)

    search(whole, '')
    return found


def the_one(paths: Collection[str]) -> str | None:
    """Return which of several backbones is meant; None if that is not known."""
    if 'backbone' in paths:
        return 'backbone'
    return next(iter(paths)) if len(paths) == 1 else None


def find_backbone(model: nn.Module, name: str | None = None) -> tuple[str, nn.Module]:
    """Find the backbone in a detector, segmentor or classifier.

    Args:
        model: The model, without a wrapper.
        name: Its dotted name in the model. None is ``model.backbone`` or, where there
            is no such thing, the only one deeper down (``detector.backbone``).

    Returns:
        The dotted name and the module.

    Raises:
        ValueError: No such module, or several that could be meant.
    """
    modules = dict(model.named_modules())
    if name is not None:
        if name in modules:
            return name, modules[name]
        problem = f"backbone='{name}' is not a module of {type(model).__name__}"
    else:
        found = outermost(
            model, nn.Module.named_children, lambda path, _: is_called_backbone(path)
        )
        path = the_one(found)
        if path is not None:
            return path, found[path]
        problem = f'{type(model).__name__} has no backbone of its own' + (
            f' but {len(found)} deeper down' if found else ''
        )
    able = [
        f"backbone='{n}'"
        for n, m in modules.items()
        if n and hasattr(m, 'frozen_stages')
    ]
    raise ValueError(
        f'{problem}; '
        + (f'write {" or ".join(able)}' if able else 'nothing in it has frozen_stages')
    )
