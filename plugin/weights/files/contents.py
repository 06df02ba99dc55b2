"""The weights in a checkpoint, wherever its writer has put them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

# Where training scripts keep the weights, in the order of looking. mmengine knows the
# first one; `model` is that of the ConvNeXt, Swin and DeiT repositories.
_HOLDERS = (
    'state_dict',
    'model',
    'model_state_dict',
    'module',
    'state_dict_ema',
    'model_ema',
    'teacher',
)
# DistributedDataParallel's and torch.compile's, in either order.
_WRAPPERS = re.compile(r'^(?:(?:module|_orig_mod)\.)+')


def weights_of(checkpoint: Mapping) -> dict[str, Tensor]:
    """The tensors of a checkpoint by name.

    Args:
        checkpoint: What a loader has returned: weights by name, or a dict that holds
            them under ``state_dict``, ``model`` or the like.

    Returns:
        A new dict, without the prefixes of wrappers and without what is no tensor.
    """
    for holder in _HOLDERS:
        if isinstance(checkpoint.get(holder), Mapping):
            checkpoint = checkpoint[holder]
            break
    weights = {
        _WRAPPERS.sub('', name): value
        for name, value in checkpoint.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
    return weights


def metadata_of(checkpoint: Mapping) -> Mapping | None:
    """Versions of the modules, by which they know names that they had before."""
    for candidate in (checkpoint.get('state_dict'), checkpoint):
        metadata = getattr(candidate, '_metadata', None)
        if metadata is not None:
            return metadata
    return None


def under(weights: Mapping[str, Tensor], prefix: str | None) -> dict[str, Tensor]:
    """The weights whose names begin with ``prefix``, without it.

    Args:
        weights: Tensors by name.
        prefix: With or without a dot at the end; None or '' takes all.
    """
    if not prefix:
        return dict(weights)
    prefix = prefix.removesuffix('.') + '.'
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in weights.items()
        if name.startswith(prefix)
    }
