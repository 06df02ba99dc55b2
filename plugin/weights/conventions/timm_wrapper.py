"""Names inside of a wrapped timm model."""

from __future__ import annotations

from torch import nn

from plugin.weights.conventions.convention import Weights

_CHILD = 'timm_model'


def into_wrapper(weights: Weights, module: nn.Module) -> Weights | None:
    """Weights of a full timm model under the names of a ``TIMMBackbone``.

    ``features_only`` changes names: ``stages.0.blocks.1`` becomes
    ``stages_0.blocks.1``, or gets ``model.`` or ``body.`` in front.

    Returns:
        None if ``module`` wraps no timm model.
    """
    child = getattr(module, _CHILD, None)
    if not isinstance(child, nn.Module):
        return None
    inner_name = {}
    for name in child.state_dict():
        outer, _, inner = name.partition('.')
        inner_name[_flat(inner if outer in ('model', 'body') else name)] = name
    return {
        f'{_CHILD}.{inner_name.get(_flat(name), name)}': tensor
        for name, tensor in weights.items()
    }


def _flat(name: str) -> str:
    return name.replace('.', '_')
