"""The groups of an optimizer, and a table of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from mmengine.optim import OptimWrapper
from torch import nn
from torch.optim import Optimizer


@dataclass(frozen=True)
class ParamGroup:
    """Parameters that an optimizer treats alike.

    Attributes:
        lr: Learning rate.
        weight_decay: Weight decay, as given to the optimizer.
        layer: Depth in the backbone, 0 for the stem and the largest for the head; None
            if the group has several, or was made without layer decay.
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
    model: nn.Module, optimizer: OptimWrapper | Optimizer
) -> list[ParamGroup]:
    """The groups of ``optimizer``, whichever constructor made them.

    A group that holds frozen and trainable parameters appears as two.

    Args:
        model: The model whose parameters it optimizes, without a wrapper.
        optimizer: An optimizer, or mmengine's wrapper of one.

    Returns:
        In the order of the optimizer.
    """
    if isinstance(optimizer, OptimWrapper):
        optimizer = optimizer.optimizer
    name_of = {param: name for name, param in model.named_parameters()}
    with as_in_training(model):
        halves = [
            (
                group,
                frozen,
                [p for p in group['params'] if p.requires_grad is not frozen],
            )
            for group in optimizer.param_groups
            for frozen in (False, True)
        ]
    return [
        ParamGroup(
            lr=float(group['lr']),
            weight_decay=float(group.get('weight_decay', 0.0)),
            layer=group.get('layer'),
            tensors=len(params),
            params=sum(param.numel() for param in params),
            names=tuple(name_of.get(param, '(not in the model)') for param in params),
            frozen=frozen,
        )
        for group, frozen, params in halves
        if params
    ]


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


def table(groups: Sequence[ParamGroup]) -> str:
    """The groups as lines of text, one a group, and a line with the sum."""
    head = ('layer', 'lr', 'weight decay', 'tensors', 'parameters', 'frozen')
    rows = [
        (
            'several' if group.layer is None else str(group.layer),
            f'{group.lr:.4g}',
            f'{group.weight_decay:.4g}',
            str(group.tensors),
            f'{group.params:,}',
            'yes' if group.frozen else '',
        )
        for group in groups
    ]
    tensors = sum(group.tensors for group in groups)
    params = sum(group.params for group in groups)
    total = ('all', '', '', str(tensors), f'{params:,}', '')
    lines = [head, *rows, total]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return '\n'.join('  '.join(map(str.rjust, line, widths)).rstrip() for line in lines)
