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
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from plugin.config_names import config_file, nearest_configs
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
    path = config_path(config)
    try:
        return Config.fromfile(str(path))
    except Exception as error:
        # mmengine answers a wrong `mmdet::` name with every name there is.
        reason = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise ValueError(
            f"{config} can't be read: {reason[0][:200]}; see what "
            f'`python -m plugin check {config}` says'
        ) from error


def config_path(config: str, folder: Path = Path()) -> Path:
    """The file of a config by its path, or by its name in an installed package.

    Args:
        config: A name in a package may do without its ``.py``.
        folder: What a relative path starts from.

    Raises:
        OSError: There is no such file. The message has the nearest names.
    """
    if '::' in config and not config.endswith('.py'):
        config = f'{config}.py'
    reason = 'No such file'
    try:
        path = config_file(config, folder)
        if path.is_file():
            return path
    except ValueError as error:
        reason = str(error)
    if '::' in config:
        near = nearest_configs(config)
        reason += f'; the nearest names are {", ".join(near)}' if near else ''
    raise FileNotFoundError(2, reason, config)


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
            # A class of the pure-Python style has none either, and its parts may be
            # names.
            type_ = backbone.get('type')
            if not (isinstance(type_, str) and '.' in type_):
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
        name = type_name(cfg)
        reason = f'{name}: {error.args[0] if error.args else error}'
        if not isinstance(cfg['type'], str):
            raise ValueError(reason) from None
        raise ValueError(_unknown(name, reason)) from None
    except TypeError as error:
        raise ValueError(f'{type_name(cfg)}: {error}') from None


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
                f'{type_name(cfg)} takes no {name}; '
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
    if not isinstance(cfg['type'], str):
        return cfg['type']
    with _scope_of(cfg):
        cls = MODELS.get(type_name(cfg))
    if cls is None:
        raise ValueError(_unknown(type_name(cfg)))
    return cls


def type_name(cfg: Mapping[str, Any]) -> str:
    """The type of a backbone with its scope, as a user writes it."""
    type_ = cfg['type']
    if not isinstance(type_, str):
        # In the pure-Python style it is the class.
        return f'{type_.__module__.partition(".")[0]}.{type_.__name__}'
    return type_ if '.' in type_ else f'{cfg.get("_scope_")}.{type_}'


@contextmanager
def _scope_of(cfg: Mapping[str, Any]) -> Iterator[None]:
    """The scope in which a backbone and what it is made of are looked up."""
    scope = cfg.get('_scope_') or type_name(cfg).rpartition('.')[0]
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
