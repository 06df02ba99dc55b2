"""The hooks of a config that freeze or unfreeze a backbone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from plugin.check.checked_config import CheckedConfig
from plugin.config.parts import find
from plugin.freezing.base_hook import BackboneFreezing
from plugin.freezing.hooks import FreezeBackboneHook, UnfreezeBackboneEpochBasedHook

_OF_THE_TUTORIALS = 'UnfreezeBackboneEpochBasedHook'


@dataclass(frozen=True)
class FreezingHook:
    """One entry of ``custom_hooks``.

    Attributes:
        key: Such as ``custom_hooks[0]``.
        cfg: The entry.
        cls: Its class.
        built: The hook; None if its arguments are wrong, or if it is not ours.
        error: What its constructor says of them.
    """

    key: str
    cfg: Mapping[str, Any]
    cls: type
    built: BackboneFreezing | None
    error: str | None = None

    @property
    def name(self) -> str:
        """Name of the class."""
        return self.cls.__name__

    @property
    def is_another(self) -> bool:
        """True if it is the user's own, after the tutorials."""
        return not issubclass(self.cls, BackboneFreezing)

    @property
    def time(self) -> str:
        """The argument that says when the last stage is unfrozen."""
        epochs = issubclass(self.cls, UnfreezeBackboneEpochBasedHook)
        return 'unfreeze_epoch' if epochs else 'unfreeze_iter'

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments that the config gives to its constructor."""
        others = ('type', 'priority', '_scope_')
        return {k: v for k, v in self.cfg.items() if k not in others}

    @property
    def unfreezes(self) -> bool:
        """True if it unfreezes anything."""
        return not issubclass(self.cls, FreezeBackboneHook)


def freezing_hooks(checked: CheckedConfig) -> Iterator[FreezingHook]:
    """Yield ours, and those that have the name and the ways of the tutorials."""
    for index, cfg in enumerate(checked.cfg.get('custom_hooks') or ()):
        if not isinstance(cfg, Mapping) or 'type' not in cfg:
            continue
        cls = cfg['type']
        if isinstance(cls, str):
            cls = find(cls, 'HOOKS', cfg.get('_scope_') or checked.scope)
        if not isinstance(cls, type):
            continue
        key = f'custom_hooks[{index}]'
        if issubclass(cls, BackboneFreezing):
            hook = FreezingHook(key, cfg, cls, None)
            try:
                yield FreezingHook(key, cfg, cls, cls(**hook.arguments))
            except (ValueError, TypeError) as error:
                yield FreezingHook(key, cfg, cls, None, str(error))
        elif cls.__name__ == _OF_THE_TUTORIALS and not _knows_frozen_stages(cls):
            yield FreezingHook(key, cfg, cls, None)


def _knows_frozen_stages(cls: type) -> bool:
    methods = (m for m in vars(cls).values() if isinstance(m, FunctionType))
    return any('frozen_stages' in m.__code__.co_names for m in methods)
