"""Find where the weights of a model come from, by its config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from plugin.check.checked_config import CheckedConfig
from plugin.config.problem import Fix, assign, both, delete
from plugin.spec import type_name

INIT_CFG, PRETRAINED, PASSED_ON, FILE, TIMM, WHOLE = (
    'init_cfg',
    'pretrained',
    'passed on',
    'checkpoint_path',
    'timm',
    'load_from',
)


@dataclass(frozen=True)
class WeightSource:
    """One checkpoint that a config names.

    Attributes:
        way: How it is loaded. ``INIT_CFG``: by mmengine's Pretrained. ``PRETRAINED``:
            by the part itself, by its ``pretrained``. ``PASSED_ON``: mmseg passes that
            of the model on to the backbone. ``FILE``: a file that timm loads. ``TIMM``:
            timm's own weights. ``WHOLE``: ``load_from``.
        entry: The entry that names it, such as ``model.backbone.init_cfg``.
        key: The key of the checkpoint itself.
        address: The checkpoint.
        target: What it is for, such as ``model.backbone``.
        prefix: Of the weights in the checkpoint.
        min_loaded: Share of the target's parameters below which training stops.
    """

    way: str
    entry: str
    key: str
    address: str
    target: str
    prefix: str | None = None
    min_loaded: float | None = None


def weight_sources(checked: CheckedConfig) -> list[WeightSource]:
    """Return all checkpoints that the config names, the outer ones first."""
    found = list(_inside(checked.model, 'model', checked))
    load_from = checked.cfg.get('load_from')
    if isinstance(load_from, str):
        found.append(WeightSource(WHOLE, 'load_from', 'load_from', load_from, 'model'))
    return found


def own_weight_sources(checked: CheckedConfig) -> list[WeightSource]:
    """Return those that are for the backbone, and for nothing else."""
    return [o for o in weight_sources(checked) if o.target == checked.backbone_key]


def fills_backbone(checked: CheckedConfig, source: WeightSource) -> bool:
    """Return whether ``source`` has weights for the backbone, or for a part of it."""
    key = checked.backbone_key
    return key is not None and (
        _is_in(key, source.target) or _is_in(source.target, key)
    )


def without(source: WeightSource) -> Fix:
    """Take ``source`` out."""
    if source.way == INIT_CFG and source.entry.endswith(']'):
        return delete(source.entry)
    if source.way == TIMM:
        return assign(source.entry, False)
    return assign(source.entry, '' if source.way == FILE else None)


def all_without(found: list[WeightSource]) -> Fix:
    """Take several out, as :func:`without`."""
    return both(without(source) for source in reversed(found))


def _is_in(key: str, other: str) -> bool:
    return key == other or key.startswith((f'{other}.', f'{other}['))


def _inside(node: Any, key: str, checked: CheckedConfig) -> Iterator[WeightSource]:
    if isinstance(node, (list, tuple)):
        for index, child in enumerate(node):
            yield from _inside(child, f'{key}[{index}]', checked)
    if not isinstance(node, Mapping):
        return
    yield from _of_init_cfg(node.get('init_cfg'), f'{key}.init_cfg', key)
    yield from _of_arguments(node, key, checked)
    for name, child in node.items():
        if name != 'init_cfg':
            yield from _inside(child, f'{key}.{name}', checked)


def _of_init_cfg(init: Any, entry: str, target: str) -> Iterator[WeightSource]:
    if isinstance(init, (list, tuple)):
        for index, one in enumerate(init):
            yield from _of_init_cfg(one, f'{entry}[{index}]', target)
    elif isinstance(init, Mapping) and isinstance(init.get('checkpoint'), str):
        if type_name(init) in ('Pretrained', 'PretrainedInit'):
            yield WeightSource(
                INIT_CFG,
                entry,
                f'{entry}.checkpoint',
                init['checkpoint'],
                target,
                init.get('prefix'),
                init.get('min_loaded'),
            )


def _of_arguments(
    node: Mapping, key: str, checked: CheckedConfig
) -> Iterator[WeightSource]:
    """Read ``pretrained`` and ``checkpoint_path`` of the model or a backbone."""
    timm = 'type' in node and type_name(node) == 'TIMMBackbone'
    if isinstance(node.get('checkpoint_path'), str) and node['checkpoint_path']:
        entry = f'{key}.checkpoint_path'
        yield WeightSource(FILE, entry, entry, node['checkpoint_path'], key)
    pretrained, entry = node.get('pretrained'), f'{key}.pretrained'
    if timm and pretrained is True:
        address = f'timm://{node.get("model_name")}'
        yield WeightSource(TIMM, entry, entry, address, key)
    elif isinstance(pretrained, str) and key == 'model':
        own = checked.wiring is not None and checked.wiring.own_pretrained
        if own or checked.backbone_key is None:
            yield WeightSource(PRETRAINED, entry, entry, pretrained, key)
        else:
            yield WeightSource(
                PASSED_ON, entry, entry, pretrained, checked.backbone_key
            )
    elif isinstance(pretrained, str) and key.endswith('backbone'):
        yield WeightSource(PRETRAINED, entry, entry, pretrained, key)
