"""Find which weights of a checkpoint go where in a model."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from torch import Tensor, nn

from plugin.weights.conventions import proposals, timm_proposals
from plugin.weights.conventions.convention import Weights, into_wrapper
from plugin.weights.files.contents import under, without_wrappers
from plugin.weights.matching.resizing import fitted
from plugin.weights.matching.usable import unusable

# Worked out by each model, from its image or window size.
_DERIVED = frozenset(
    (
        'relative_position_index',
        'relative_coords_table',
        'attn_mask',
        'num_batches_tracked',
    )
)

Shapes = tuple[tuple[int, ...], tuple[int, ...]]
"""The shape of a weight in a checkpoint, and in the model."""


@dataclass(frozen=True)
class Fit:
    """A checkpoint's weights, matched to a model.

    Attributes:
        origin: Whose names they were, if they have been renamed.
        renamed: The names in the checkpoint and in the model, where they differ.
        reordered: Names in the model of renamed weights whose elements were moved.
        tensors: Under the model's names and in its shapes.
        adapted: Names among them whose shape was changed.
        mismatched: Names in both whose shapes don't belong together, with the shape
            in the checkpoint.
        unusable: Names in both whose weights no model can use, with the reason.
        unexpected: Names, after renaming, that the model lacks.
        dropped: Names of what the model works out by itself, in another size.
        rest: The weights of ``mismatched`` and ``unexpected``.
        matched: Elements of the model's parameters that have a weight.
        loaded: Of these the ones whose weight can be used.
        total: Elements of the model's parameters.
    """

    origin: str | None
    renamed: tuple[tuple[str, str], ...]
    reordered: tuple[str, ...]
    tensors: Weights
    adapted: dict[str, Shapes]
    mismatched: dict[str, tuple[int, ...]]
    unusable: dict[str, str]
    unexpected: tuple[str, ...]
    dropped: tuple[str, ...]
    rest: Weights
    matched: int
    loaded: int
    total: int

    @property
    def share(self) -> float:
        """Share of the parameters that get a weight, in [0, 1]."""
        return self.loaded / self.total if self.total else 1.0

    @property
    def closeness(self) -> tuple[float, int]:
        """Return how near the names and shapes are, to choose a variant or a prefix.

        The share that they cover; then the names that agree in another size, which
        are nearer than none.
        """
        share = self.matched / self.total if self.total else 1.0
        return share, len(self.mismatched)


class Proposals:
    """The weights in all names that they may be in, each worked out once, when asked.

    Args:
        weights: Tensors by name.
    """

    def __init__(self, weights: Weights) -> None:
        self._made: list[tuple[str, Weights]] = []
        self._more = chain(proposals(weights), timm_proposals(weights))

    def __iter__(self) -> Iterator[tuple[str, Weights]]:
        yield from self._made
        for proposal in self._more:
            self._made.append(proposal)
            yield proposal


def fit(
    weights: Mapping[str, Tensor],
    module: nn.Module,
    proposed: Iterable[tuple[str, Weights]] | None = None,
) -> Fit:
    """Match weights to a model, under the names that cover most of it.

    Names and shapes that cover all of it are taken as they are.

    Args:
        weights: Tensors by name.
        module: The model.
        proposed: The :class:`Proposals` of ``weights``, for who asks more than once.
    """
    weights = dict(weights)
    if proposed is None:
        proposed = Proposals(weights)
    best = chosen = None
    for origin, proposal in _candidates(weights, module, proposed):
        found = _match(origin, proposal, module)
        if best is None or found.closeness > best.closeness:
            best, chosen = found, proposal
        if best.matched == best.total:
            break
    if best.origin is not None:
        best = _with_renaming(best, weights, chosen)
    return _usable(best, module)


def derived(name: str) -> bool:
    """Return whether a tensor of this name is worked out and not learnt."""
    return name.rpartition('.')[2] in _DERIVED


def _candidates(
    weights: Weights, module: nn.Module, proposed: Iterable[tuple[str, Weights]]
) -> Iterator[tuple[str | None, Weights]]:
    yield None, weights
    wrapped = into_wrapper(weights, module)
    if wrapped is not None:
        yield "timm's", wrapped
        for origin, proposal in timm_proposals(weights):
            yield origin, into_wrapper(proposal, module)
    else:
        yield from proposed


def _match(origin: str | None, weights: Weights, module: nn.Module) -> Fit:
    wanted = {k: v for k, v in module.state_dict().items() if isinstance(v, Tensor)}
    sizes = {name: param.numel() for name, param in module.named_parameters()}
    tensors, rest = {}, {}
    adapted: dict[str, Shapes] = {}
    mismatched: dict[str, tuple[int, ...]] = {}
    unexpected, dropped = [], []
    for name, tensor in weights.items():
        if derived(name) and (name not in wanted or wanted[name].shape != tensor.shape):
            dropped.append(name)
            continue
        found = fitted(tensor, wanted[name], name, module) if name in wanted else None
        if found is not None:
            tensors[name] = found
            if found.shape != tensor.shape:
                adapted[name] = tuple(tensor.shape), tuple(found.shape)
            continue
        rest[name] = tensor
        if name in wanted:
            mismatched[name] = tuple(tensor.shape)
        else:
            unexpected.append(name)
    matched = sum(size for name, size in sizes.items() if name in tensors)
    return Fit(
        origin=origin,
        renamed=(),
        reordered=(),
        tensors=tensors,
        adapted=adapted,
        mismatched=mismatched,
        unusable={},
        unexpected=tuple(unexpected),
        dropped=tuple(dropped),
        rest=rest,
        matched=matched,
        loaded=matched,
        total=sum(sizes.values()),
    )


def _with_renaming(found: Fit, weights: Weights, proposal: Weights) -> Fit:
    """Return ``found`` with what became of which name in the checkpoint."""
    theirs = {id(tensor): name for name, tensor in weights.items()}
    renamed, reordered = [], []
    for name in found.tensors:
        before = theirs.get(id(proposal[name]))
        if before is None:
            reordered.append(name)
        elif before != name:
            renamed.append((before, name))
    return replace(found, renamed=tuple(renamed), reordered=tuple(reordered))


def _usable(found: Fit, module: nn.Module) -> Fit:
    """Return ``found`` without the tensors that no model can use."""
    wanted = module.state_dict()
    sizes = {name: param.numel() for name, param in module.named_parameters()}
    bad = {}
    for name, tensor in found.tensors.items():
        reason = unusable(tensor, wanted[name], name in sizes)
        if reason is not None and not derived(name):
            bad[name] = reason
    if not bad:
        return found
    tensors = {name: t for name, t in found.tensors.items() if name not in bad}
    return replace(
        found,
        tensors=tensors,
        adapted={name: s for name, s in found.adapted.items() if name not in bad},
        renamed=tuple(pair for pair in found.renamed if pair[1] not in bad),
        reordered=tuple(name for name in found.reordered if name not in bad),
        unusable=bad,
        loaded=sum(size for name, size in sizes.items() if name in tensors),
    )


_TRIED = 8
# Of two networks in a file the one that is not published as the result: of MoCo and
# BYOL the slow copy, of DINO the student.
_TWIN = re.compile(
    r'(^|\.)(encoder_k|key_encoder|momentum_encoder|target_\w+|student)\.'
)


def best_prefix(
    weights: Mapping[str, Tensor], module: nn.Module
) -> tuple[str, Fit] | None:
    """Return the prefix whose weights cover most of ``module``, and what they cover.

    Args:
        weights: All tensors of a checkpoint, under the names in the file.
        module: The model.

    Returns:
        The prefix with its dot, '' for none. Of equals the shortest. None if no weight
        fits under any.
    """
    best = None
    for prefix in _plausible(weights, module):
        found = fit(under(weights, prefix), module)
        if found.matched and (best is None or found.matched > best[1].matched):
            best = prefix, found
            if found.matched == found.total:
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
            inner = name.removeprefix(prefix) if prefix else without_wrappers(name)
            if inner in wanted:
                fitting[prefix] += tensor.numel()
            if i < 4:
                all_[prefix] += tensor.numel()

    def first(sizes: Counter) -> list[str]:
        def order(p: str) -> tuple:
            twin = _TWIN.search(p) is not None
            return twin, -sizes[p], len(p), p != 'backbone.', p

        return sorted(sizes, key=order)

    # Foreign names fit nowhere before they are renamed.
    return list(dict.fromkeys([*first(fitting)[:_TRIED], *first(all_)[:_TRIED]]))
