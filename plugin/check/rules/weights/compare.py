"""The weights in a checkpoint against the part of a model that they are for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from plugin.check.checked_config import CheckedConfig
from plugin.check.rules.weights.addresses import is_local
from plugin.check.rules.weights.fit import (
    covered,
    fitting_prefix,
    imports_of,
    is_loaded_plainly,
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
from plugin.config.problem import WARNING, Problem, assign
from plugin.measure.signatures import signature_of
from plugin.weights.audit.report import percent

# Below it, weights of another size are no detail such as a stem for other images.
_MOST = 0.9


def compare(
    checked: CheckedConfig, origin: WeightSource, table: Mapping[str, Tensor]
) -> Iterator[Problem]:
    """What is wrong with the weights in ``table`` for what ``origin`` is for."""
    module = _part(checked, origin.target)
    if module is None:
        checked.leave(origin.key, f'{origin.target} cannot be built')
        return
    if is_local(origin.address) and is_loaded_plainly(checked, origin):
        yield from _plainly(checked, origin, table, module)
        return
    share, least = covered(origin, table, module, checked.backbone)
    if share is None:
        return
    if share >= least and (share or not least):
        if needs_the_audit(checked, origin, table, module):
            yield _without_import(checked, origin)
        elif share < _MOST and origin.min_loaded is None:
            yield from _of_another_size(checked, origin, table, module, share)
        return
    better = fitting_prefix(origin, table, module, checked.backbone)
    name = type(module).__name__
    found = f'{percent(share)} of the parameters of {name} are in {origin.address}'
    if better is None:
        theirs = ', '.join(list(table)[:2]) or 'nothing'
        yield problem(
            origin,
            found,
            f'weights of {name}, not of {theirs}',
            taken_out(checked, origin),
            origin.entry,
        )
        return
    prefix, gain = better
    expected = f"prefix='{prefix}' gives {percent(gain)}" if prefix else 'no prefix'
    fix = with_prefix(checked, origin, origin.address, prefix)
    yield problem(origin, found, expected, fix, origin.entry, safe=True)


def _plainly(
    checked: CheckedConfig,
    origin: WeightSource,
    table: Mapping[str, Tensor],
    module: nn.Module,
) -> Iterator[Problem]:
    """A file that mmengine's own loader reads, or the backbone itself."""
    name = type(module).__name__
    ours, least = covered(origin, table, module, checked.backbone)
    by_itself = loads_by_itself(module) and origin.target == checked.backbone_key
    if by_itself:
        share = share_by_itself(checked.backbone_cfg, origin, checked.scope)
        if isinstance(share, Exception):
            yield _raised(checked, origin, share, (ours or 0) >= least)
            return
    else:
        weights = raw_weights(origin.address)
        share = plain_share(weights, origin.prefix, module)
    if share >= least:
        if share < _MOST and origin.min_loaded is None:
            yield from _of_another_size(checked, origin, table, module, share)
        return
    better = None if by_itself else plain_prefix(weights, module)
    found = f'{percent(share)} of the parameters of {name} are in {origin.address}'
    if better is not None and better[1] >= least:
        prefix, gain = better
        expected = f"prefix='{prefix}' gives {percent(gain)}" if prefix else 'no prefix'
        fix = with_prefix(checked, origin, origin.address, prefix)
        yield problem(origin, found, expected, fix, origin.entry, safe=True)
    elif ours is not None and ours >= least:
        yield _without_import(checked, origin)
    else:
        theirs = ', '.join(list(table)[:2]) or 'nothing'
        expected = f'weights of {name}, not of {theirs}'
        fix = taken_out(checked, origin)
        yield problem(origin, found, expected, fix, origin.entry)


def _raised(
    checked: CheckedConfig, origin: WeightSource, error: Exception, ours: bool
) -> Problem:
    """A backbone that fails when it loads: by an argument it may convert first."""
    name = type(checked.backbone).__name__
    text = ' '.join(f'{type(error).__name__}: {error}'.split())
    found = f'{name} raises when it loads {origin.address}: {text}'
    signature = signature_of(type(checked.backbone))
    taken = signature.names if signature else ()
    for argument in converting_ways(checked.backbone_cfg, taken):
        cfg = {**checked.backbone_cfg, argument: True}
        share = share_by_itself(cfg, origin, checked.scope)
        if not isinstance(share, Exception) and share >= _MOST:
            key = f'{checked.backbone_key}.{argument}'
            expected = f'True, after which {percent(share)} are loaded'
            fix = assign(key, True)
            return problem(origin, found, expected, fix, key, safe=True)
    if ours:
        return _without_import(checked, origin)
    expected = f'weights of {name}'
    return problem(origin, found, expected, taken_out(checked, origin), origin.entry)


def _of_another_size(
    checked: CheckedConfig,
    origin: WeightSource,
    table: Mapping[str, Tensor],
    module: nn.Module,
    share: float,
) -> Iterator[Problem]:
    """Weights of a variant that has many tensors in common with this one."""
    name = mismatched(origin, table, module)
    if name is None:
        return
    own = tuple(module.state_dict()[name].shape)
    sibling = sibling_of(origin.address, module)
    fix = assign(origin.key, sibling) if sibling else taken_out(checked, origin)
    yield problem(
        origin,
        f'{percent(share)} of the parameters of {type(module).__name__} are in '
        f'{origin.address}; others are there in another size, such as {name}',
        f'{sibling or "weights of the same variant"}: {name} is {own} in the model',
        fix,
        origin.entry,
        WARNING,
        safe=bool(sibling),
    )


def _without_import(checked: CheckedConfig, origin: WeightSource) -> Problem:
    package = task_package(checked)
    imports = [*imports_of(checked), package]
    fix = assign('custom_imports', dict(imports=imports, allow_failed_imports=False))
    return problem(
        origin,
        f'{origin.address} is in a format or under names that mmengine does not know',
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
