"""The backbone that a user names on the command line, or in a config."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.hub import get_config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from plugin.meta_device import build_on_meta, without_weights


def backbone_cfg(backbone: str) -> dict[str, Any]:
    """The config of a backbone.

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
            f'{backbone} is no backbone: write its type with its scope, such as '
            'plugin.ConvNeXt or mmdet.ResNet, or timm:MODEL, or a config'
        )
    return dict(type=backbone)


def load_config(config: str) -> Config:
    """A config by its path, or by its name in an installed package, imports done.

    Raises:
        ValueError: It can't be read.
        OSError: There is no such file.
    """
    if '::' not in config:
        if not Path(config).is_file():
            raise FileNotFoundError(2, 'No such file', config)
        return Config.fromfile(config)
    try:
        return get_config(config if config.endswith('.py') else f'{config}.py')
    except Exception as error:
        reason = str(error).splitlines()[0][:200] if str(error) else type(error)
        raise ValueError(f'{config} is not to be had: {reason}') from None


def backbone_of(cfg: Config) -> Mapping[str, Any]:
    """The backbone's entry in a config, wherever its model has it.

    Raises:
        ValueError: It has none.
    """
    place = backbone_place(cfg)
    if place is None:
        raise ValueError(f'{cfg.filename} has no backbone in its model')
    return place[1]


def backbone_place(cfg: Config) -> tuple[str, Mapping[str, Any]] | None:
    """Where a config has its backbone, and its entry there; None if it has none.

    The entry has ``_scope_``, where its type has no scope of its own.
    """
    model, root = (cfg.model, 'model') if 'model' in cfg else (cfg, '')
    inner = ((f'{root}.{k}'.lstrip('.'), v) for k, v in model.items())
    for key, holder in ((root, model), *inner):
        if isinstance(holder, Mapping) and isinstance(holder.get('backbone'), Mapping):
            backbone = dict(holder['backbone'])
            # mmyolo registers nothing that mmdet has; a type without a scope is its.
            if isinstance(backbone.get('type'), str) and '.' not in backbone['type']:
                backbone['_scope_'] = cfg.get('default_scope', 'mmengine')
            return f'{key}.backbone'.lstrip('.'), backbone
    return None


def build(cfg: Mapping[str, Any], meta: bool = False) -> nn.Module:
    """The backbone of ``cfg``, with random weights.

    Args:
        cfg: As a config has it. What would load weights is left out.
        meta: Without memory for its weights, where the class allows it.

    Raises:
        ValueError: There is no such type, or it doesn't take these arguments.
    """
    cfg = without_weights(cfg)
    try:
        if meta:
            try:
                return build_on_meta(lambda: _build(cfg))
            except (RuntimeError, NotImplementedError):
                pass  # It asks for values while it is built.
        return _build(cfg)
    except KeyError as error:
        raise ValueError(_unknown(cfg['type'], str(error))) from None
    except TypeError as error:
        raise ValueError(f'{cfg["type"]}: {error}') from None


def check(cfg: Mapping[str, Any]) -> None:
    """Raise ValueError if there is no such type, or it doesn't take an argument."""
    signature = inspect.signature(class_of(cfg).__init__)
    parameters = signature.parameters.values()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    allowed = [p.name for p in parameters if p.name != 'self']
    for name in cfg:
        if name not in ('type', '_scope_', *allowed):
            near = get_close_matches(name, allowed, n=3, cutoff=0.4)
            raise ValueError(
                f'{cfg["type"]} takes no {name}; '
                + (f'did you mean {" or ".join(near)}?' if near else 'it takes ')
                + ('' if near else ', '.join(allowed))
            )


def _build(cfg: dict[str, Any]) -> nn.Module:
    with _scope_of(cfg):
        return MODELS.build(ConfigDict(cfg))


def class_of(cfg: Mapping[str, Any]) -> type:
    """The registered class.

    Raises:
        ValueError: There is none of this name.
    """
    with _scope_of(cfg):
        scope = cfg.get('_scope_')
        type_ = cfg['type'] if '.' in cfg['type'] else f'{scope}.{cfg["type"]}'
        cls = MODELS.get(type_)
    if cls is None:
        raise ValueError(_unknown(type_))
    return cls


@contextmanager
def _scope_of(cfg: Mapping[str, Any]) -> Iterator[None]:
    """The scope in which a backbone and what it is made of are looked up."""
    scope = cfg.get('_scope_') or cfg['type'].rpartition('.')[0]
    if scope in ('mmdet', 'mmseg', 'mmyolo', 'mmpretrain'):
        import_module(f'{scope}.models')
    with DefaultScope.overwrite_default_scope(scope or None):
        yield


def _unknown(type_: str, otherwise: str = '') -> str:
    scope, _, name = type_.rpartition('.')
    try:
        registry = import_module(f'{scope}.registry').MODELS
        registry.import_from_location()
    except (ImportError, AttributeError):
        return f'{type_}: there is no package {scope} to be imported'
    names = list(registry.module_dict)
    if name in names:
        return otherwise
    near = get_close_matches(name, names, n=3, cutoff=0)
    return (
        f'{type_} is not registered; the nearest names are '
        f'{", ".join(f"{scope}.{n}" for n in near)}'
    )
