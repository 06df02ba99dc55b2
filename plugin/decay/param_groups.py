"""The groups of an optimizer, and what is in none of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn
from torch.optim import Optimizer

from plugin.freezing.optimizer_groups import optimizers


@dataclass(frozen=True)
class ParamGroup:
    """Parameters that an optimizer treats alike.

    Attributes:
        lr: Learning rate.
        weight_decay: Weight decay, as given to the optimizer.
        layer: Depth in the backbone, 0 for the stem and the largest for the head, as
            the constructor (ours, mmdet's, mmseg's or mmpretrain's) has written it;
            None if the group has several, or was made without layer decay.
        tensors: Number of tensors.
        params: Number of their elements.
        names: Their names in the model.
        frozen: Whether the model, once its ``train()`` was called, doesn't train them.
    """

    lr: float
    weight_decay: float
    layer: int | None
    tensors: int
    params: int
    names: tuple[str, ...]
    frozen: bool


def param_groups(
    model: nn.Module, optimizer: OptimWrapper | OptimWrapperDict | Optimizer
) -> list[ParamGroup]:
    """The groups of ``optimizer``, whichever constructor made them.

    A group that holds frozen and trainable parameters appears as two.

    Args:
        model: The model whose parameters it optimizes, without a wrapper.
        optimizer: An optimizer, or mmengine's wrapper of one or of several.

    Returns:
        In the order of the optimizer.
    """
    name_of = {param: name for name, param in model.named_parameters()}
    with as_in_training(model):
        halves = [
            (
                group,
                frozen,
                [p for p in group['params'] if p.requires_grad is not frozen],
            )
            for group in _groups(optimizer)
            for frozen in (False, True)
        ]
    return [
        ParamGroup(
            lr=float(group['lr']),
            weight_decay=float(group.get('weight_decay', 0.0)),
            layer=_layer(group),
            tensors=len(params),
            params=sum(param.numel() for param in params),
            names=tuple(name_of.get(param, '(not in the model)') for param in params),
            frozen=frozen,
        )
        for group, frozen, params in halves
        if params
    ]


def in_no_group(
    model: nn.Module, groups: Sequence[ParamGroup]
) -> dict[str, tuple[int, bool]]:
    """Parameters of ``model`` that are in none of ``groups``, so that none trains them.

    Returns:
        Their number of elements, and whether they are frozen, by name.
    """
    held = {name for group in groups for name in group.names}
    with as_in_training(model):
        return {
            name: (param.numel(), not param.requires_grad)
            for name, param in model.named_parameters()
            if name not in held
        }


def _groups(
    optimizer: OptimWrapper | OptimWrapperDict | Optimizer,
) -> list[dict[str, Any]]:
    if isinstance(optimizer, Optimizer):
        return optimizer.param_groups
    return [group for one in optimizers(optimizer) for group in one.param_groups]


def _layer(group: Mapping[str, Any]) -> int | None:
    """The depth under the name that the constructor has for it."""
    # mmdet 3.3.0 and mmseg 1.2.2: layer_3_no_decay. mmpretrain 1.2.0: layer_id.
    named = re.fullmatch(r'layer_(\d+)_(no_)?decay', str(group.get('group_name')))
    return int(named[1]) if named else group.get('layer', group.get('layer_id'))


@contextmanager
def as_in_training(model: nn.Module) -> Iterator[None]:
    """The model as its own ``train()`` leaves it, which the training loop calls first.

    mmdet's Swin and CSPDarknet freeze nothing before that.
    """
    flags = {param: param.requires_grad for param in model.parameters()}
    modes = {module: module.training for module in model.modules()}
    try:
        model.train()
        yield
    finally:
        for param, flag in flags.items():
            param.requires_grad_(flag)
        for module, mode in modes.items():
            module.training = mode


_MOST_PARTS, _DEEPEST = 2, 3


def by_layer(groups: Sequence[ParamGroup]) -> list[ParamGroup]:
    """Groups of one layer, rate, decay and freezing as one, stem first.

    mmpretrain's constructor makes a group for each tensor, and so does mmengine's own
    as soon as there is a ``paramwise_cfg``.

    Args:
        groups: As :func:`plugin.decay.param_groups.param_groups` gives them.

    Returns:
        In the order of the layers; those without one last, in their own order.
    """
    merged: dict[tuple, list[ParamGroup]] = {}
    for group in groups:
        key = group.layer, group.lr, group.weight_decay, group.frozen
        merged.setdefault(key, []).append(group)
    rows = [
        ParamGroup(
            lr=lr,
            weight_decay=weight_decay,
            layer=layer,
            tensors=sum(group.tensors for group in alike),
            params=sum(group.params for group in alike),
            names=tuple(name for group in alike for name in group.names),
            frozen=frozen,
        )
        for (layer, lr, weight_decay, frozen), alike in merged.items()
    ]
    return sorted(rows, key=lambda row: (row.layer is None, row.layer))


def parts(names: Sequence[str]) -> list[str]:
    """The modules that hold the parameters ``names``, as deep as two can name them.

    All in ``backbone.stages.0`` gives that, and no deeper; all over a model its
    outermost parts.
    """
    modules = [name.split('.')[:-1] or [name] for name in names]
    found: list[str] = []
    for depth in range(1, _DEEPEST + 1):
        deeper = list(dict.fromkeys('.'.join(path[:depth]) for path in modules))
        if found and len(deeper) > max(len(found), _MOST_PARTS):
            break
        found = deeper
    return found


def columns(groups: Sequence[ParamGroup]) -> dict[str, list[str]]:
    """The cells of a table by its headings, the last of each column for the sum."""
    shown = {
        'layer': ['several' if g.layer is None else str(g.layer) for g in groups],
        'lr': [f'{group.lr:.4g}' for group in groups],
        'weight decay': [f'{group.weight_decay:.4g}' for group in groups],
        'tensors': [str(group.tensors) for group in groups],
        'parameters': [f'{group.params:,}' for group in groups],
        'frozen': ['yes' if group.frozen else '' for group in groups],
    }
    total = {
        'layer': 'all',
        'tensors': str(sum(group.tensors for group in groups)),
        'parameters': f'{sum(group.params for group in groups):,}',
    }
    return {head: [*cells, total.get(head, '')] for head, cells in shown.items()}


def table(groups: Sequence[ParamGroup]) -> str:
    """The groups as lines of text, one a group, and a line with the sum."""
    aligned = []
    for head, cells in columns(groups).items():
        width = max(map(len, [head, *cells]))
        aligned.append([cell.rjust(width) for cell in (head, *cells)])
    return '\n'.join('  '.join(line).rstrip() for line in zip(*aligned, strict=True))
