"""Which weights of a checkpoint go where in a model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from plugin.pretrained.conventions import Weights, proposals
from plugin.pretrained.resizing import fitted
from plugin.pretrained.timm_names import into_wrapper

# Worked out by each model, from its image or window size.
_DERIVED = re.compile(
    r'(^|\.)(relative_position_index|relative_coords_table|attn_mask|'
    r'num_batches_tracked)$'
)


@dataclass(frozen=True)
class Fit:
    """A checkpoint's weights, matched to a model.

    Attributes:
        origin: Whose names they were, if they have been renamed.
        tensors: Under the model's names and in its shapes.
        adapted: Names among them that have been resized.
        mismatched: Names in both whose shapes don't belong together, with the shape
            in the checkpoint.
        unexpected: Names, after renaming, that the model lacks.
        dropped: Names of what the model works out by itself, in another size.
        rest: The weights of ``mismatched`` and ``unexpected``.
        loaded: Elements of the model's parameters that are covered.
        total: Elements of the model's parameters.
    """

    origin: str | None
    tensors: Weights
    adapted: tuple[str, ...]
    mismatched: dict[str, tuple[int, ...]]
    unexpected: tuple[str, ...]
    dropped: tuple[str, ...]
    rest: Weights
    loaded: int
    total: int

    @property
    def share(self) -> float:
        """Share of the parameters that are covered, in [0, 1]."""
        return self.loaded / self.total if self.total else 1.0


def fit(weights: Mapping[str, Tensor], module: nn.Module) -> Fit:
    """Match weights to a model, under the names that cover most of it.

    Args:
        weights: Tensors by name.
        module: The model.
    """
    best = None
    for origin, proposal in _candidates(dict(weights), module):
        found = _match(origin, proposal, module)
        # Names that agree in another size are nearer than none.
        score = found.loaded, len(found.mismatched)
        if best is None or score > (best.loaded, len(best.mismatched)):
            best = found
        if best.loaded == best.total:
            break
    return best


def derived(name: str) -> bool:
    """Whether a tensor of this name is worked out and not learnt."""
    return _DERIVED.search(name) is not None


def _candidates(
    weights: Weights, module: nn.Module
) -> Iterator[tuple[str | None, Weights]]:
    yield None, weights
    wrapped = into_wrapper(weights, module)
    if wrapped is not None:
        yield "timm's", wrapped
    else:
        yield from proposals(weights)


def _match(origin: str | None, weights: Weights, module: nn.Module) -> Fit:
    wanted = {k: v for k, v in module.state_dict().items() if isinstance(v, Tensor)}
    sizes = {name: param.numel() for name, param in module.named_parameters()}
    tensors, rest = {}, {}
    mismatched: dict[str, tuple[int, ...]] = {}
    adapted, unexpected, dropped = [], [], []
    for name, tensor in weights.items():
        if derived(name) and (name not in wanted or wanted[name].shape != tensor.shape):
            dropped.append(name)
            continue
        found = fitted(tensor, wanted[name], name, module) if name in wanted else None
        if found is not None:
            tensors[name] = found
            if found.numel() != tensor.numel():
                adapted.append(name)
            continue
        rest[name] = tensor
        if name in wanted:
            mismatched[name] = tuple(tensor.shape)
        else:
            unexpected.append(name)
    return Fit(
        origin,
        tensors,
        tuple(adapted),
        mismatched,
        tuple(unexpected),
        tuple(dropped),
        rest,
        sum(size for name, size in sizes.items() if name in tensors),
        sum(sizes.values()),
    )
