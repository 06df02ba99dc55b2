"""The freezing hooks of a config, on a model that nobody trains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config
from mmengine.registry import HOOKS, DefaultScope
from torch import nn

from plugin.freezing.find_backbone import find_backbone
from plugin.freezing.hook import BackboneFreezing
from plugin.registered import arguments_of, not_taken, resolve


def freezing_hooks(cfg: Config) -> list[BackboneFreezing]:
    """Those of ``custom_hooks`` that freeze a backbone, built.

    Args:
        cfg: With its imports done. Other hooks are not built.

    Raises:
        ValueError: A bad argument of such a hook.
    """
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mmengine')):
        return [
            _build(entry, f'custom_hooks[{i}]')
            for i, entry in enumerate(cfg.get('custom_hooks') or ())
            if isinstance(entry, Mapping) and _freezes(entry.get('type'))
        ]


def freeze_as_training_begins(hook: BackboneFreezing, model: nn.Module) -> None:
    """Bring ``model`` to where ``hook`` has it in the first iteration.

    Raises:
        ValueError: No backbone, it can't freeze, or a milestone does not fit it.
    """
    hook.begin(*find_backbone(model, hook.backbone))


def _build(entry: Mapping[str, Any], key: str) -> BackboneFreezing:
    cls = resolve(HOOKS, entry['type'])
    for name in set(entry) - {'type', '_scope_', 'priority'} - arguments_of(cls):
        raise ValueError(not_taken(key, name, cls))
    try:
        return HOOKS.build({k: v for k, v in entry.items() if k != 'priority'})
    except ValueError as error:
        raise ValueError(f'{key}: {error}') from error


def _freezes(type_: Any) -> bool:
    cls = resolve(HOOKS, type_)
    return isinstance(cls, type) and issubclass(cls, BackboneFreezing)
