"""Weights of which hardly any has a name of the model: others, or only renamed."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from plugin.check.checked_config import CheckedConfig
from plugin.check.rules.weights.missing import problem, taken_out
from plugin.check.weight_sources import WeightSource
from plugin.config.problem import Problem
from plugin.weights.audit.report import percent, threshold
from plugin.weights.conventions import proposals
from plugin.weights.files.contents import under
from plugin.weights.matching.fit import best_prefix

# From this share on, weights of the same shapes are the same weights.
_SAME = 0.9


def foreign(
    checked: CheckedConfig,
    origin: WeightSource,
    found: str,
    table: Mapping[str, Tensor],
    module: nn.Module,
) -> Problem:
    """What to say of weights that do not load under their names.

    Those of another model are taken out. Those of the same model under other names are
    what the user wants: it is said whose names they are, and what converts them.
    """
    name = type(module).__name__
    whose = next((names for names, _ in proposals(dict(under(table, None)))), None)
    alike = share_of_shapes(table, module)
    if alike < _SAME:
        theirs = ', '.join(list(table)[:2]) or 'nothing'
        theirs += f' ({whose} names)' if whose else ''
        expected = f'weights of {name}, not of {theirs}'
        fix = taken_out(checked, origin)
        return problem(origin, found, expected, fix, origin.entry)
    look = f'look like {whose}' if whose else f'are like {next(iter(table))}'
    expected = (
        f'the same weights under the names of {name}: {percent(alike)} of its '
        f'parameters have one of their shape there, and its names {look}'
    )
    fitting = best_prefix(table, module)
    if fitting is None or fitting[1].share < threshold(origin.min_loaded):
        return problem(origin, found, expected, (), origin.entry, unknown=origin.key)
    converted = f'{Path(origin.address).stem}_converted.pth'
    words = ['python', '-m', 'plugin', 'convert', origin.address, converted]
    command = shlex.join([*words, '--to', str(checked.cfg.filename)])
    expected += f'; name {converted} when it is written'
    return problem(origin, found, expected, (), origin.entry, command=command)


def share_of_shapes(table: Mapping[str, Tensor], module: nn.Module) -> float:
    """The share of a module's parameters for which there is a weight of their shape."""
    there = Counter(tuple(tensor.shape) for tensor in table.values())
    total = filled = 0
    for parameter in module.parameters():
        shape = tuple(parameter.shape)
        total += parameter.numel()
        if there[shape]:
            there[shape] -= 1
            filled += parameter.numel()
    return filled / total if total else 0.0
