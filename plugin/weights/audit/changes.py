"""Say what was changed in the weights of a checkpoint so that they fit, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from plugin.weights.conventions import eps_of
from plugin.weights.matching.fit import Fit, Shapes

_SHOWN = 3


def changes(found: Fit, source: str, module: nn.Module) -> Iterator[str]:
    """Yield one sentence for each kind of change, with the names of what was changed.

    Nothing for weights that have the names and shapes of ``module``.
    """
    if found.origin is not None:
        text = f'renamed {_count(found.renamed)} of {source} from {found.origin} names'
        if found.renamed:
            text += f': {_some(f"{old} to {new}" for old, new in found.renamed)}'
        if found.reordered:
            text += f'; reordered {_count(found.reordered)}: {_some(found.reordered)}'
        yield text
        yield from _other_eps(found.origin, module)
    kinds: dict[str, dict[str, Shapes]] = {}
    for name, shapes in found.adapted.items():
        kinds.setdefault(_kind(*shapes), {})[name] = shapes
    for kind, members in sorted(kinds.items()):
        yield f'{kind} {_count(members)} of {source}: {_shapes(members)}'


def _other_eps(origin: str, module: nn.Module) -> Iterator[str]:
    """Names and shapes may be those of a model with another eps in its norms."""
    theirs = eps_of(origin)
    norms = {n: m.eps for n, m in module.named_modules() if isinstance(m, _BatchNorm)}
    others = {name: eps for name, eps in norms.items() if eps != theirs}
    if theirs is not None and others:
        name, eps = next(iter(others.items()))
        yield (
            f'models with {origin} names have eps={theirs:g} in their batch norms, and '
            f'{len(others)} here have another ({name}.eps={eps:g}): their outputs will '
            'differ; take the variant with that eps (in timm the one whose name begins '
            'with tf_)'
        )


def resized(found: Fit) -> int:
    """Return how many weights have another number of elements than in the file."""
    return sum(_kind(*shapes) != _RESHAPED for shapes in found.adapted.values())


_CHANNELS, _RESHAPED, _RESIZED = (
    "adapted to the model's input channels",
    'reshaped',
    'resized',
)


def _kind(before: tuple[int, ...], after: tuple[int, ...]) -> str:
    if sorted(n for n in before if n > 1) == sorted(n for n in after if n > 1):
        return _RESHAPED
    if len(before) == len(after) == 4 and before[0::2] == after[0::2]:
        return _CHANNELS if before[1] != after[1] else _RESIZED
    return _RESIZED


def _shapes(members: Mapping[str, Shapes]) -> str:
    return _some(f'{name} from {old} to {new}' for name, (old, new) in members.items())


def _count(members: Iterable) -> str:
    count = len(list(members))
    return f'{count} tensor' if count == 1 else f'{count} tensors'


def _some(texts: Iterable[str]) -> str:
    texts = list(texts)
    more = len(texts) - _SHOWN
    return ', '.join(texts[:_SHOWN]) + (f' and {more} more' if more > 0 else '')
