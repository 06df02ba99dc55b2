"""Frozen stages and their hooks. Imports weights and the rooms below.

``frozen_stages`` is -1 for nothing, 0 for the stem, and n for the stem and the
first n stages with their output norms.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn


def check_frozen_stages(frozen_stages: int, num_stages: int, owner: str) -> None:
    """Raise ValueError unless ``frozen_stages`` is in [-1, ``num_stages``]."""
    if not -1 <= frozen_stages <= num_stages:
        raise ValueError(
            f'frozen_stages={frozen_stages} but {owner} has {num_stages} stages; '
            f'write -1 (nothing frozen), 0 (the stem) or 1 to {num_stages} '
            '(the stem and as many stages)'
        )


def freeze(modules: Iterable[nn.Module]) -> None:
    """Put ``modules`` in eval mode and take their parameters out of training.

    Called at the end of ``__init__`` and of every ``train()``, since that one
    would undo the eval mode.
    """
    for module in modules:
        module.eval()
        module.requires_grad_(False)
