"""The weights in a checkpoint against the part of a model that they are for."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from torch import Tensor, nn

from plugin.check.checked_config import CheckedConfig
from plugin.check.rules.weights.addresses import is_local
from plugin.check.rules.weights.fit import (
    fitting_prefix,
    imports_of,
    is_loaded_plainly,
    loaded_share,
    mismatched,
    needs_the_audit,
    sibling_of,
    task_package,
)
from plugin.check.rules.weights.missing import problem, taken_out, with_prefix
from plugin.check.rules.weights.plainly import (
    converting_ways,
    loads_by_itself,
    plain_prefix,
    plain_share,
    raw_weights,
    share_by_itself,
)
from plugin.check.weight_sources import WeightSource
from plugin.config.problem import ERROR, WARNING, Problem, assign
from plugin.measure.signatures import signature_of
from plugin.weights.audit.report import percent, threshold
from plugin.weights.conventions import origin_of
from plugin.weights.files.contents import under
from plugin.weights.matching.fit import best_prefix
from plugin.weights.matching.structure import StructureError, align_structure
from plugin.wrappers.adapters import without_adapters

# From this share on, weights of the same shapes are the same weights.
_SAME = 0.9


def foreign(
    checked: CheckedConfig,
    source: WeightSource,
    found: str,
    table: Mapping[str, Tensor],
    module: nn.Module,
) -> Problem:
    """Report weights that do not load under their names.

    Those of another model are taken out. Those of the same model under other names are
    what the user wants: it is said whose names they are, and what converts them.
    """
    name = type(module).__name__
    whose = origin_of(under(table, None))
    alike = share_of_shapes(table, module)
    if alike < _SAME:
        theirs = ', '.join(list(table)[:2]) or 'nothing'
        theirs += f' ({whose} names)' if whose else ''
        expected = f'weights of {name}, not of {theirs}'
        fix = taken_out(checked, source)
        return problem(source, found, expected, fix, source.entry)
    look = f'look like {whose}' if whose else f'are like {next(iter(table))}'
    expected = (
        f'the same weights under the names of {name}: {percent(alike)} of its '
        f'parameters have one of their shape there, and its names {look}'
    )
    fitting = best_prefix(table, module)
    if fitting is None or fitting[1].share < threshold(source.min_loaded):
        return problem(source, found, expected, (), source.entry, unknown=source.key)
    converted = f'{Path(source.address).stem}_converted.pth'
    words = ['python', '-m', 'plugin', 'convert', source.address, converted]
    command = shlex.join([*words, '--to', str(checked.cfg.filename)])
    expected += f'; name {converted} when it is written'
    return problem(source, found, expected, (), source.entry, command=command)


def _share_in_words(source: WeightSource, share: float, name: str) -> str:
    """Return how much of a ``name`` a checkpoint fills."""
    gives = f"{source.address} gives {percent(share)} of {name}'s parameters"
    return f'{gives} under these names'


def share_of_shapes(table: Mapping[str, Tensor], module: nn.Module) -> float:
    """Return the share of a module's parameters that have a weight of their shape."""
    there = Counter(tuple(tensor.shape) for tensor in table.values())
    total = filled = 0
    for parameter in module.parameters():
        shape = tuple(parameter.shape)
        total += parameter.numel()
        if there[shape]:
            there[shape] -= 1
            filled += parameter.numel()
    return filled / total if total else 0.0


# Below it, weights of another size are no detail such as a stem for other images.
_MOST = 0.9


def compare(
    checked: CheckedConfig, source: WeightSource, table: Mapping[str, Tensor]
) -> Iterator[Problem]:
    """Report what is wrong with the weights in ``table`` for what ``source`` fills."""
    module = _part(checked, source.target)
    if module is None:
        checked.leave(source.key, f'{source.target} cannot be built')
        return
    # Weights are loaded as if there were none.
    with without_adapters(module):
        yield from _compare(checked, source, table, module)


def _compare(
    checked: CheckedConfig,
    source: WeightSource,
    table: Mapping[str, Tensor],
    module: nn.Module,
) -> Iterator[Problem]:
    if is_local(source.address) and is_loaded_plainly(checked, source):
        yield from _plainly(checked, source, table, module)
        return
    share, least = loaded_share(source, table, module, checked.backbone)
    if share is None:
        return
    if share >= least and (share or not least):
        if needs_the_audit(checked, source, table, module):
            yield _without_import(checked, source)
        elif share < _MOST and source.min_loaded is None:
            yield from _of_another_size(checked, source, table, module, share)
        return
    better = fitting_prefix(source, table, module, checked.backbone)
    name = type(module).__name__
    found = _share_in_words(source, share, name)
    if better is None and _has_the_structure(checked, source, table, module):
        yield _to_be_converted(checked, source, found, name)
        return
    if better is None:
        yield foreign(checked, source, found, table, module)
        return
    prefix, gain = better
    expected = f"prefix='{prefix}' gives {percent(gain)}" if prefix else 'no prefix'
    fix = with_prefix(checked, source, source.address, prefix)
    yield problem(source, found, expected, fix, source.entry, safe=True)


def _plainly(
    checked: CheckedConfig,
    source: WeightSource,
    table: Mapping[str, Tensor],
    module: nn.Module,
) -> Iterator[Problem]:
    """Compare a file that mmengine's own loader, or the backbone itself, reads."""
    name = type(module).__name__
    ours, least = loaded_share(source, table, module, checked.backbone)
    by_itself = loads_by_itself(module) and source.target == checked.backbone_key
    if by_itself:
        share = share_by_itself(checked.backbone_cfg, source, checked.scope)
        if isinstance(share, Exception):
            loads = (ours or 0) >= least
            yield _raised(checked, source, share, table, module, loads)
            return
    else:
        weights = raw_weights(source.address)
        share = plain_share(weights, source.prefix, module)
    if share >= least:
        if share < _MOST and source.min_loaded is None:
            yield from _of_another_size(checked, source, table, module, share)
        return
    better = None if by_itself else plain_prefix(weights, module)
    found = _share_in_words(source, share, name)
    if better is not None and better[1] >= least:
        prefix, gain = better
        expected = f"prefix='{prefix}' gives {percent(gain)}" if prefix else 'no prefix'
        fix = with_prefix(checked, source, source.address, prefix)
        yield problem(source, found, expected, fix, source.entry, safe=True)
    elif ours is not None and ours >= least:
        yield _without_import(checked, source)
    else:
        yield foreign(checked, source, found, table, module)


def _raised(
    checked: CheckedConfig,
    source: WeightSource,
    error: Exception,
    table: Mapping[str, Tensor],
    module: nn.Module,
    ours: bool,
) -> Problem:
    """Report a backbone that fails when it loads; an argument may convert first."""
    name = type(checked.backbone).__name__
    text = ' '.join(f'{type(error).__name__}: {error}'.split())
    found = f'{name} raises when it loads {source.address}: {text}'
    signature = signature_of(type(checked.backbone))
    taken = signature.names if signature else ()
    for argument in converting_ways(checked.backbone_cfg, taken):
        cfg = {**checked.backbone_cfg, argument: True}
        share = share_by_itself(cfg, source, checked.scope)
        if not isinstance(share, Exception) and share >= _MOST:
            key = f'{checked.backbone_key}.{argument}'
            expected = f'True, after which {percent(share)} are loaded'
            fix = assign(key, True)
            return problem(source, found, expected, fix, key, safe=True)
    if ours:
        return _without_import(checked, source)
    return foreign(checked, source, found, table, module)


def _has_the_structure(
    checked: CheckedConfig,
    source: WeightSource,
    table: Mapping[str, Tensor],
    module: nn.Module,
) -> bool:
    """Return whether ``convert --by-structure`` finds a partner for each weight."""
    if not is_local(source.address) or source.target != checked.backbone_key:
        return False
    try:
        align_structure(table, module)
    except StructureError:
        return False
    return True


def _to_be_converted(
    checked: CheckedConfig, source: WeightSource, found: str, name: str
) -> Problem:
    path = Path(source.address)
    new = path.with_name(f'{path.name.partition(".")[0]}_for_{name.lower()}.pth')
    words = ['python', '-m', 'plugin', 'convert', str(path), str(new)]
    words += ['--to', str(checked.cfg.filename), '--by-structure']
    return Problem(
        source.entry,
        'pretrained',
        ERROR,
        found,
        f'names that are known; by their order and shapes these may be weights of '
        f'{name}: the command writes {new}, to be named here in the place of this file',
        command=shlex.join(words),
    )


def _of_another_size(
    checked: CheckedConfig,
    source: WeightSource,
    table: Mapping[str, Tensor],
    module: nn.Module,
    share: float,
) -> Iterator[Problem]:
    """Report weights of a variant that shares many tensors with this one."""
    name = mismatched(source, table, module)
    if name is None:
        return
    own = tuple(module.state_dict()[name].shape)
    sibling = sibling_of(source.address, module)
    fix = assign(source.key, sibling) if sibling else taken_out(checked, source)
    yield problem(
        source,
        f'{_share_in_words(source, share, type(module).__name__)}; others have another '
        f'size there, such as {name}',
        f'{sibling or "weights of the same variant"}: {name} is {own} in the model',
        fix,
        source.entry,
        WARNING,
        safe=bool(sibling),
    )


def _without_import(checked: CheckedConfig, source: WeightSource) -> Problem:
    package = task_package(checked)
    imports = [*imports_of(checked), package]
    fix = assign('custom_imports', dict(imports=imports, allow_failed_imports=False))
    return problem(
        source,
        f'{source.address} is in a format or under names that mmengine does not know',
        f'an import of {package}, which does',
        fix,
        safe=True,
    )


def _part(checked: CheckedConfig, target: str) -> nn.Module | None:
    if target == checked.backbone_key:
        return checked.backbone
    if checked.built is None:
        return None
    try:
        return checked.built.get_submodule(target.partition('.')[2])
    except AttributeError:
        return None
