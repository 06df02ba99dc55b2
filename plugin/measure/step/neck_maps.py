"""Find the maps of a model's necks that a training step uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Unused = set[tuple[str, int]]
"""Name of a neck, and which of its maps."""


@contextmanager
def unused_maps(model: nn.Module) -> Iterator[Unused]:
    """Find the maps of necks that get no gradient in the step within.

    Yields:
        An empty set, which is filled at the end. A map of zero gradient is used: an
        RoI extractor gives that to one that no region happened to be of.
    """
    given: dict[str, list[Tensor]] = {}
    unused: Unused = set()

    def keep(name: str, outputs: object) -> None:
        if torch.is_grad_enabled() and isinstance(outputs, (tuple, list)):
            maps = [one for one in outputs if isinstance(one, Tensor)]
            if name not in given and all(one.requires_grad for one in maps):
                given[name] = maps
                for one in maps:
                    one.retain_grad()

    handles = [
        module.register_forward_hook(lambda _, __, out, name=name: keep(name, out))
        for name, module in model.named_modules()
        if name.rpartition('.')[2] == 'neck'
    ]
    try:
        yield unused
    finally:
        for handle in handles:
            handle.remove()
    for name, maps in given.items():
        unused |= {(name, i) for i, one in enumerate(maps) if one.grad is None}
