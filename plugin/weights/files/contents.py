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
    'model_state',
    'module',
    'state_dict_ema',
    'model_ema',
    'teacher',
)
# DistributedDataParallel's and torch.compile's, in either order.
_WRAPPERS = re.compile(r'^(?:(?:module|_orig_mod)\.)+')
_WRAPPED = ('module.', '_orig_mod.')


def weights_of(checkpoint: Mapping) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by name.

    Args:
        checkpoint: What a loader has returned: weights by name, or a dict that holds
            them under ``state_dict``, ``model`` or the like.

    Returns:
        A new dict under the names in the file, without what is no tensor.
    """
    for holder in _HOLDERS:
        if isinstance(checkpoint.get(holder), Mapping):
            checkpoint = checkpoint[holder]
            break
    return {
        name: value
        for name, value in checkpoint.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }


def without_wrappers(name: str) -> str:
    """Return the name without the ``module.`` or ``_orig_mod.`` of a wrapped model."""
    return _WRAPPERS.sub('', name) if name.startswith(_WRAPPED) else name


def doubled(weights: Mapping[str, object]) -> tuple[str, ...]:
    """Return names of a wrapped model that are there without the wrapper as well."""
    bare = ((name, without_wrappers(name)) for name in weights)
    return tuple(name for name, inner in bare if inner != name and inner in weights)


def metadata_of(checkpoint: Mapping) -> Mapping | None:
    """Versions of the modules, by which they know names that they had before."""
    for candidate in (checkpoint.get('state_dict'), checkpoint):
        metadata = getattr(candidate, '_metadata', None)
        if metadata is not None:
            return metadata
    return None


def under(weights: Mapping[str, Tensor], prefix: str | None) -> dict[str, Tensor]:
    """Return the weights whose names begin with ``prefix``, without it.

    Args:
        weights: Tensors under the names in the file.
        prefix: Taken at its word, with or without a dot at the end. None or '' takes
            all, without the prefixes of wrappers; of two that then have one name, the
            one that has had it from the start.
    """
    if not prefix:
        if not any(name.startswith(_WRAPPED) for name in weights):
            return dict(weights)
        bare = {without_wrappers(name): tensor for name, tensor in weights.items()}
        return bare | {name: t for name, t in weights.items() if name in bare}
    prefix = prefix.removesuffix('.') + '.'
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in weights.items()
        if name.startswith(prefix)
    }
