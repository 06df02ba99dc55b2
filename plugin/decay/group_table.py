"""The groups of an optimizer as a table by layer."""

from __future__ import annotations

from collections.abc import Sequence

from plugin.decay.param_groups import ParamGroup

_MOST_PARTS, _DEEPEST = 2, 3


def by_layer(groups: Sequence[ParamGroup]) -> list[ParamGroup]:
    """Groups of one layer, rate, decay and freezing as one, stem first.

    mmpretrain's constructor makes a group for each tensor, and so does mmengine's own
    as soon as there is a ``paramwise_cfg``.

    Args:
        groups: As :func:`plugin.decay.param_groups.param_groups` gives them.

    Returns:
        In the order of the layers; those without one last, in their own order.
    """
    merged: dict[tuple, list[ParamGroup]] = {}
    for group in groups:
        key = group.layer, group.lr, group.weight_decay, group.frozen
        merged.setdefault(key, []).append(group)
    rows = [
        ParamGroup(
            lr=lr,
            weight_decay=weight_decay,
            layer=layer,
            tensors=sum(group.tensors for group in alike),
            params=sum(group.params for group in alike),
            names=tuple(name for group in alike for name in group.names),
            frozen=frozen,
        )
        for (layer, lr, weight_decay, frozen), alike in merged.items()
    ]
    return sorted(rows, key=lambda row: (row.layer is None, row.layer))


def parts(names: Sequence[str]) -> list[str]:
    """The modules that hold the parameters ``names``, as deep as two can name them.

    All in ``backbone.stages.0`` gives that, and no deeper; all over a model its
    outermost parts.
    """
    modules = [name.split('.')[:-1] or [name] for name in names]
    found: list[str] = []
    for depth in range(1, _DEEPEST + 1):
        deeper = list(dict.fromkeys('.'.join(path[:depth]) for path in modules))
        if found and len(deeper) > max(len(found), _MOST_PARTS):
            break
        found = deeper
    return found


def columns(groups: Sequence[ParamGroup]) -> dict[str, list[str]]:
    """The cells of a table by its headings, the last of each column for the sum."""
    shown = {
        'layer': ['several' if g.layer is None else str(g.layer) for g in groups],
        'lr': [f'{group.lr:.4g}' for group in groups],
        'weight decay': [f'{group.weight_decay:.4g}' for group in groups],
        'tensors': [str(group.tensors) for group in groups],
        'parameters': [f'{group.params:,}' for group in groups],
        'frozen': ['yes' if group.frozen else '' for group in groups],
    }
    total = {
        'layer': 'all',
        'tensors': str(sum(group.tensors for group in groups)),
        'parameters': f'{sum(group.params for group in groups):,}',
    }
    return {head: [*cells, total.get(head, '')] for head, cells in shown.items()}


def table(groups: Sequence[ParamGroup]) -> str:
    """The groups as lines of text, one a group, and a line with the sum."""
    aligned = []
    for head, cells in columns(groups).items():
        width = max(map(len, [head, *cells]))
        aligned.append([cell.rjust(width) for cell in (head, *cells)])
    return '\n'.join('  '.join(line).rstrip() for line in zip(*aligned, strict=True))
