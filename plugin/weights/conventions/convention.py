"""One project's names for the weights of one family, and how to rename them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Convention:
    """One project's names for one family.

    Attributes:
        origin: Whose names they are, for messages: ``"timm's ConvNeXt"``.
        marks: Patterns; each must match the beginning of a name in the checkpoint.
        rename: Gives the weights under OpenMMLab's names.
        eps: Of all batch norms there, where a model of these names may have another.
    """

    origin: str
    marks: tuple[str, ...]
    rename: Callable[[Weights], Weights]
    eps: float | None = None

    def recognises(self, weights: Mapping[str, Tensor]) -> bool:
        """Return whether the names are those of this convention."""
        # Of hundreds of thousands of names, the cache of `re` would cost the most.
        return all(any(map(re.compile(m).match, weights)) for m in self.marks)


def rules(*pairs: tuple[str, str | Callable | None]) -> Callable[[Weights], Weights]:
    """Return a renaming by regular expressions, applied to each name one after another.

    Args:
        *pairs: Pattern and replacement, as ``re.sub`` takes them. None drops the
            weight.
    """

    def rename(weights: Weights) -> Weights:
        renamed = {}
        for name, tensor in weights.items():
            for pattern, replacement in pairs:
                if replacement is None:
                    if re.search(pattern, name):
                        break
                else:
                    name = re.sub(pattern, replacement, name)
            else:
                renamed[name] = tensor
        return renamed

    return rename


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
