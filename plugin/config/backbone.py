"""The backbone that a user names on the command line, or in a config."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.config import Config

from plugin.config.names import load_config
from plugin.freezing.find_backbone import is_called_backbone, outermost, the_one


def backbone_cfg(backbone: str) -> dict[str, Any]:
    """Return the config of a backbone.

    Args:
        backbone: A registered type with its scope (``plugin.ConvNeXt``),
            ``timm:MODEL``, or a config (a path, or ``mmdet::...``) whose backbone is
            meant.

    Raises:
        ValueError: It is none of these.
        OSError: There is no such config.
    """
    if backbone.startswith('timm:'):
        model_name = backbone.removeprefix('timm:').removeprefix('//')
        return dict(type='plugin.TIMMBackbone', model_name=model_name)
    if backbone.endswith(('.py', '.json', '.yaml', '.yml')) or '::' in backbone:
        return dict(backbone_of(load_config(backbone)))
    if '.' not in backbone:
        raise ValueError(
            f'{backbone} is not a backbone: write its type with its scope, such as '
            'plugin.ConvNeXt or mmdet.ResNet, or timm:MODEL, or a config'
        )
    return dict(type=backbone)


def with_options(cfg: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a config with ``--cfg-options`` over it; dicts are merged."""
    merged = dict(cfg)
    for key, value in options.items():
        inner = merged.get(key)
        both = isinstance(inner, Mapping) and isinstance(value, Mapping)
        merged[key] = with_options(inner, value) if both else value
    return merged


def backbone_of(cfg: Config) -> Mapping[str, Any]:
    """Return the backbone's entry in a config, wherever its model has it.

    Raises:
        ValueError: It has none.
    """
    place = backbone_place(cfg)
    if place is None:
        raise ValueError(f'{cfg.filename} has no backbone in its model')
    return place[1]


def backbone_place(cfg: Config) -> tuple[str, Mapping[str, Any]] | None:
    """Return the key of a config's backbone and its entry; None if it has none.

    As :mod:`plugin.freezing.find_backbone` has it; of several that could be meant, the
    first.

    The entry has ``_scope_``, where its type has no scope of its own.
    """
    model, root = (cfg.model, 'model') if 'model' in cfg else (cfg, '')
    found = outermost(model, _parts, lambda path, _: is_called_backbone(path))
    if not found:
        return None
    path = the_one(found) or next(iter(found))
    backbone = dict(found[path])
    # mmyolo registers nothing that mmdet has; a type without a scope is its. A class
    # of the pure-Python style has none either, and its parts may be names.
    type_ = backbone.get('type')
    if not (isinstance(type_, str) and '.' in type_):
        backbone['_scope_'] = cfg.get('default_scope', 'mmengine')
    return f'{root}.{path}'.lstrip('.'), backbone


def _parts(node: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    return ((k, v) for k, v in node.items() if isinstance(v, Mapping))
