"""Weights whose names nobody knows, matched to a model by order, shape and kind.

Two implementations of one network list their parts in the order in which they run. So
their state dicts are laid side by side. Only an exact alignment counts: every tensor of
the model has its partner, and the partner could be no other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile

from torch import Tensor, nn

from plugin.weights.matching.fit import derived

Entry = tuple[str, Tensor]
Token = tuple[str, tuple[int, ...]]

_KINDS = (
    (re.compile(r'running_mean$'), 'mean'),
    (re.compile(r'running_var$'), 'variance'),
    (re.compile(r'(^|[._])(bias|beta)$'), 'bias'),
)


class StructureError(ValueError):
    """Two lists of weights are not those of one network, or might be in two ways.

    Attributes:
        agreed: After how many tensors they part.
    """

    def __init__(self, message: str, agreed: int = 0) -> None:
        super().__init__(message)
        self.agreed = agreed


@dataclass(frozen=True)
class Aligned:
    """A checkpoint laid beside a model.

    Attributes:
        names: The name in the checkpoint of each tensor, and the one in the model.
        prefix: What the names in the checkpoint begin with.
        surplus: Names under that prefix for which the model has no place: its head.
    """

    names: dict[str, str]
    prefix: str
    surplus: tuple[str, ...]


def align_structure(
    weights: Mapping[str, Tensor], module: nn.Module, prefix: str | None = None
) -> Aligned:
    """Match weights to a model by order, shape and kind alone.

    Args:
        weights: Tensors in the order of the file, under its names.
        module: The model.
        prefix: Of the weights that are meant; None finds it.

    Raises:
        StructureError: They are not those of this model, or could be in two ways. The
            message shows the first place where the two part.
    """
    wanted = list(_entries(module.state_dict()))
    if not wanted:
        raise StructureError(f'{type(module).__name__} has no weights')
    _check_layout(module)
    _check_order(weights)
    found: dict[tuple[str, ...], Aligned] = {}
    parted: list[tuple[int, str]] = []
    for candidate in [prefix] if prefix is not None else _prefixes(weights):
        start = candidate and candidate.removesuffix('.') + '.'
        given = [e for e in _entries(weights) if e[0].startswith(start)]
        outcome = _align(given, wanted, start)
        if isinstance(outcome, Aligned):
            found[tuple(outcome.names)] = outcome  # A longer prefix says more.
        elif outcome is not None:
            parted.append(outcome)
    if len(found) > 1:
        prefixes = ' and '.join(f"'{a.prefix}'" for a in found.values())
        raise StructureError(
            f'the weights under {prefixes} all have the structure of '
            f'{type(module).__name__}: name the one that is meant with --prefix',
            len(wanted),
        )
    if not found:
        if not parted:
            raise StructureError(f'no weights begin with {prefix}')
        # The nearest is the one to show; of equals that with most weights, the first.
        agreed, message = max(parted, key=lambda part: part[0])
        raise StructureError(message, agreed)
    (aligned,) = found.values()
    return aligned


def _entries(tensors: Mapping[str, Tensor]) -> Iterator[Entry]:
    for name, tensor in tensors.items():
        if isinstance(tensor, Tensor) and not derived(name):
            yield name, tensor


def _token(entry: Entry) -> Token:
    """Kind and shape, by which two tensors of two implementations are compared."""
    name, tensor = entry
    shape = list(tensor.shape)
    while len(shape) > 1 and shape[-1] == 1:
        shape.pop()  # A 1x1 convolution is a linear layer.
    kind = next((kind for mark, kind in _KINDS if mark.search(name)), 'weight')
    return kind, tuple(shape)


def _prefixes(weights: Mapping[str, Tensor]) -> list[str]:
    """'' and the beginnings that more than a few names have, up to three parts."""
    counts: Counter[str] = Counter()
    for name, _ in _entries(weights):
        parts = name.split('.')
        for i in range(min(len(parts), 4)):
            counts[''.join(f'{part}.' for part in parts[:i])] += 1
    return [prefix for prefix, count in counts.items() if count > 3 or not prefix]


def _check_layout(module: nn.Module) -> None:
    """Refuse models whose weights depend on how pixels are laid into channels.

    A merging of 2x2 patches may take them by row or by column, and channel by channel
    or patch by patch: implementations differ, and shapes do not.
    """
    for name, part in module.named_modules():
        cls = type(part).__name__
        if isinstance(part, _REARRANGING) or cls in ('PatchMerging', 'Focus'):
            raise StructureError(
                f'{name} ({cls}) of {type(module).__name__} lays pixels into channels, '
                'in an order that differs between implementations and shows in no shape'
            )


_REARRANGING = (nn.Unfold, nn.PixelShuffle, nn.PixelUnshuffle)


def _check_order(weights: Mapping[str, Tensor]) -> None:
    """Refuse names in the order of the alphabet, which is not that of a network."""
    last: dict[str, int] = {}
    for name in weights:
        parts = name.split('.')
        for i, part in enumerate(parts):
            if part.isdecimal():
                parent = '.'.join(parts[:i])
                if int(part) < last.get(parent, 0):
                    raise StructureError(
                        f'{name} comes after {parent}.{last[parent]}: the file is not '
                        'in the order of the network (.safetensors files are sorted), '
                        'and without names only the order is left'
                    )
                last[parent] = int(part)


def _align(
    given: list[Entry], wanted: list[Entry], prefix: str
) -> Aligned | tuple[int, str] | None:
    """Return the alignment; or how many first tensors agree, and the difference.

    None without any weight.
    """
    if not given:
        return None
    head = given[: len(wanted)]
    theirs, ours = list(map(_token, head)), list(map(_token, wanted))
    agreed = sum(1 for _ in takewhile(_are_equal, zip(theirs, ours, strict=False)))
    # What there is once, has its partner wherever it stands.
    once = {
        token
        for token, count in Counter(ours).items()
        if count == 1 and theirs.count(token) == 1
    }
    left = [i for i, token in enumerate(theirs) if token not in once]
    right = [i for i, token in enumerate(ours) if token not in once]
    pairs = dict(zip(left, right, strict=False))
    apart = next((i for i, j in pairs.items() if theirs[i] != ours[j]), None)
    if apart is not None:
        return agreed, _parting(head[apart], wanted[pairs[apart]], apart, prefix)
    if len(head) < len(wanted):
        return agreed, (
            f'the file ends after {len(head)} tensors, at {head[-1][0]}; the model '
            f'goes on with {_shown(wanted[len(head)])}'
        )
    surplus = [name for name, _ in given[len(wanted) :]]
    inner = [name.removeprefix(prefix) for name in (head[-1][0], *surplus[:1])]
    if surplus and _in_one_part(*inner):
        return agreed, (
            f'the model ends after {len(wanted)} tensors, at {wanted[-1][0]}, in the '
            f'middle of a part of the file: {head[-1][0]} goes on with {surplus[0]}'
        )
    places = {token: i for i, token in enumerate(ours)}
    pairs |= {i: places[token] for i, token in enumerate(theirs) if token in once}
    names = {head[i][0]: wanted[j][0] for i, j in sorted(pairs.items())}
    return Aligned(names, prefix, tuple(surplus))


def _are_equal(pair: tuple[Token, Token]) -> bool:
    return pair[0] == pair[1]


def _in_one_part(last: str, following: str) -> bool:
    """Return whether two names are in one part that is no list of parts."""
    one, other = last.split('.')[:-1], following.split('.')[:-1]
    shared = 0
    while shared < min(len(one), len(other)) and one[shared] == other[shared]:
        shared += 1
    if shared == len(one) or shared == len(other):
        return shared > 0
    numbered = one[shared].isdecimal() and other[shared].isdecimal()
    return shared > 0 and not numbered


def _parting(theirs: Entry, ours: Entry, number: int, prefix: str) -> str:
    under = f' under {prefix}' if prefix else ''
    return (
        f'they differ from tensor {number + 1} on{under}: {_shown(theirs)} in '
        f'the file, {_shown(ours)} in the model'
    )


def _shown(entry: Entry) -> str:
    name, tensor = entry
    return f'{name} {tuple(tensor.shape)}'
