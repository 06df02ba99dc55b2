"""``optim_wrapper`` of a config, and what our layer decay finds wrong in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from plugin.check.checked_config import CheckedConfig
from plugin.check.rules.weights.fit import imports_of, task_package
from plugin.config.parts import find
from plugin.config.problem import Fix, assign, delete
from plugin.decay.constructor import LayerDecayOptimWrapperConstructor
from plugin.decay.layer_depth import (
    LAYER_WISE,
    STAGE_WISE,
    find_backbones,
    layer_depths,
)
from plugin.decay.settings import OWN_KEYS, mistakes
from plugin.libraries import LayerDecay, wiring
from plugin.spec import type_name

CFG = 'optim_wrapper.paramwise_cfg'


@dataclass(frozen=True)
class Optimizer:
    """``optim_wrapper`` of a config.

    Attributes:
        cls: Class of the constructor.
        paramwise: Its ``paramwise_cfg``, empty if there is none.
        settings: Of the optimizer itself.
        scheduler: The hook that sets its rates, as far as the config writes one.
        warms_biases: Whether that hook takes the third group for the biases.
    """

    cls: type
    paramwise: Mapping[str, Any]
    settings: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    warms_biases: bool = False

    @property
    def library(self) -> str:
        """The package that the constructor is of."""
        return self.cls.__module__.partition('.')[0]

    @property
    def layer_decay(self) -> LayerDecay | None:
        """Facts about a library's own constructor for layer decay."""
        own = wiring(self.library)
        return own and own.layer_decay.get(self.cls.__name__)

    @property
    def named_groups(self) -> tuple[str, ...] | None:
        """As of :class:`~plugin.libraries.Wiring`; None if it takes all parameters."""
        own = wiring(self.library)
        return own and own.named_groups.get(self.cls.__name__)


@dataclass(frozen=True)
class Mistake:
    """One mistake, with what fixes it, and whether that is safe."""

    key: str
    found: str
    expected: str
    statements: tuple[Fix, ...]
    safe: bool = False


def optimizer_of(checked: CheckedConfig) -> Optimizer | None:
    """Return the optimizer; None if there is none, several, or an unknown one."""
    entry = checked.cfg.get('optim_wrapper')
    if not isinstance(entry, Mapping) or not isinstance(
        entry.get('optimizer'), Mapping
    ):
        return None
    cls = entry.get('constructor') or DefaultOptimWrapperConstructor
    if isinstance(cls, str):
        cls = find(cls, 'OPTIM_WRAPPER_CONSTRUCTORS', checked.scope)
    paramwise = entry.get('paramwise_cfg') or {}
    if not isinstance(cls, type) or not isinstance(paramwise, Mapping):
        return None
    hook = (checked.cfg.get('default_hooks') or {}).get('param_scheduler') or {}
    hooks = checked.wiring.bias_hooks if checked.wiring else ()
    warms = 'type' in hook and type_name(hook) in hooks
    return Optimizer(cls, paramwise, entry['optimizer'], hook, warms)


def ours(checked: CheckedConfig, optimizer: Optimizer) -> Iterator[Fix]:
    """Put our constructor in the place of another."""
    name = LayerDecayOptimWrapperConstructor.__name__
    imported = task_package(checked) in imports_of(checked)
    yield assign('optim_wrapper.constructor', name if imported else f'plugin.{name}')
    for mistake in own_mistakes(checked, optimizer):
        yield from mistake.statements


def own_mistakes(checked: CheckedConfig, optimizer: Optimizer) -> Iterator[Mistake]:
    """Yield what our constructor refuses."""
    cfg, name = optimizer.paramwise, LayerDecayOptimWrapperConstructor.__name__
    decay_type = cfg.get('decay_type', LAYER_WISE)
    for one in mistakes(cfg, optimizer.settings, name):
        dropped = [delete(f'optim_wrapper.{key}') for key in one.dropped]
        written = [assign(f'optim_wrapper.{k}', v) for k, v in one.written.items()]
        statements = (*dropped, *written)
        key = f'optim_wrapper.{one.key}'
        yield Mistake(key, one.found, one.expected, statements, one.safe)
        decay_type = one.written.get('paramwise_cfg.decay_type', decay_type)
    yield from _layers(checked, cfg, decay_type)


def _layers(
    checked: CheckedConfig, cfg: Mapping[str, Any], decay_type: str
) -> Iterator[Mistake]:
    if checked.built is None:
        return
    try:
        backbones = find_backbones(checked.built)
    except ValueError as error:
        yield _give_up(cfg, str(error))
        return
    for backbone in backbones.values():
        number = num_layers(backbone, decay_type)
        if isinstance(number, str):
            other = LAYER_WISE if decay_type == STAGE_WISE else STAGE_WISE
            if isinstance(num_layers(backbone, other), str):
                yield _give_up(cfg, number)
                return
            key = f'{CFG}.decay_type'
            yield Mistake(key, number, other, (assign(key, other),))
            number = num_layers(backbone, other)
        given = cfg.get('num_layers')
        if given is not None and given != number:
            key = f'{CFG}.num_layers'
            found = f'{given}, but {type(backbone).__name__} has {number} layers'
            yield Mistake(key, found, str(number), (assign(key, number),), safe=True)
            return


def num_layers(backbone: nn.Module, decay_type: str) -> int | str:
    """Return the layers between stem and head, or why they are not known."""
    try:
        return layer_depths(backbone, decay_type).num_layers
    except ValueError as error:
        return str(error)


def _give_up(cfg: Mapping[str, Any], found: str) -> Mistake:
    """Take layer decay out, since no layers are known."""
    key = 'optim_wrapper.constructor'
    expected = 'a backbone whose layers are known, or no layer decay'
    statements = [assign(key, DefaultOptimWrapperConstructor.__name__)]
    statements += [delete(f'{CFG}.{name}') for name in OWN_KEYS if name in cfg]
    return Mistake(key, found, expected, tuple(statements))
