"""mmengine's activation checkpointing behind frozen stages."""

from __future__ import annotations

from operator import attrgetter

import torch
from mmengine.runner import Runner
from torch import Tensor, nn

from plugin.freezing.rewrap import unwrap


def let_gradients_in(runner: Runner) -> None:
    """Let checkpointed modules train although what feeds them is frozen.

    With ``activation_checkpointing = ['backbone.layer2']``, mmengine wraps the forward
    in torch's reentrant checkpoint, which computes no gradient of the weights inside
    when none of the inputs requires one: behind a frozen ``layer1``, ``layer2`` would
    silently not train. So the input is made to require one.
    """
    names = runner.cfg.get('activation_checkpointing') or []
    for name in [names] if isinstance(names, str) else names:
        attrgetter(name)(unwrap(runner.model)).register_forward_pre_hook(_require_grad)


def _require_grad(module: nn.Module, args: tuple) -> tuple:
    floats = [a for a in args if isinstance(a, Tensor) and a.is_floating_point()]
    if (
        floats
        and torch.is_grad_enabled()
        and not any(a.requires_grad for a in floats)
        and any(p.requires_grad for p in module.parameters())
    ):
        first = floats[0].detach().requires_grad_()
        return tuple(first if a is floats[0] else a for a in args)
    return args
