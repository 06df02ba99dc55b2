"""Which weights of a checkpoint go where in a model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from plugin.weights.conventions import proposals
from plugin.weights.conventions.convention import Weights
from plugin.weights.conventions.timm_wrapper import into_wrapper
from plugin.weights.files.contents import under
from plugin.weights.matching.resizing import fitted

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


_TRIED = 8


def best_prefix(
    weights: Mapping[str, Tensor], module: nn.Module
) -> tuple[str, Fit] | None:
    """The prefix whose weights cover most of ``module``, and what they cover.

    Args:
        weights: All tensors of a checkpoint.
        module: The model.

    Returns:
        The prefix with its dot, '' for none. Of equals the shortest. None if no weight
        fits under any.
    """
    best = None
    for prefix in _plausible(weights, module):
        found = fit(under(weights, prefix), module)
        if found.loaded and (best is None or found.loaded > best[1].loaded):
            best = prefix, found
            if found.loaded == found.total:
                break
    return best


def _plausible(weights: Mapping[str, Tensor], module: nn.Module) -> list[str]:
    """Prefixes with names of the model behind them, and those of most weights."""
    wanted = set(module.state_dict())
    fitting, all_ = Counter(), Counter()
    for name, tensor in weights.items():
        parts = name.split('.')
        for i in range(len(parts)):
            prefix = ''.join(f'{part}.' for part in parts[:i])
            if name.removeprefix(prefix) in wanted:
                fitting[prefix] += tensor.numel()
            if i < 4:
                all_[prefix] += tensor.numel()

    def first(sizes: Counter) -> list[str]:
        return sorted(sizes, key=lambda p: (-sizes[p], len(p), p != 'backbone.', p))

    # Foreign names fit nowhere before they are renamed.
    return list(dict.fromkeys([*first(fitting)[:_TRIED], *first(all_)[:_TRIED]]))
