"""The backbone in a model."""

from __future__ import annotations

from torch import nn


def find_backbone(model: nn.Module, name: str | None = None) -> tuple[str, nn.Module]:
    """Find the backbone in a detector, segmentor or classifier.

    Args:
        model: The model, without a wrapper.
        name: Its dotted name in the model. None is ``model.backbone`` or, where there
            is no such thing, the only ``backbone`` deeper down (``detector.backbone``).

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
    elif 'backbone' in modules:
        return 'backbone', modules['backbone']
    else:
        nested = [n for n in modules if n.endswith('.backbone')]
        if len(nested) == 1:
            return nested[0], modules[nested[0]]
        problem = f'{type(model).__name__} has no backbone of its own' + (
            f' but {len(nested)} deeper down' if nested else ''
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
