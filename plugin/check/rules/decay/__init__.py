"""Layer decay: its keys, the constructor that reads them, and the layers there are."""

from __future__ import annotations

from collections.abc import Iterator

from mmengine.optim import DefaultOptimWrapperConstructor

from plugin.check.checked_config import CheckedConfig
from plugin.check.rules.decay.named_groups import (
    are_its_own,
    bias_warmup,
    left_out,
    with_all,
)
from plugin.check.rules.decay.settings import (
    Mistake,
    Optimizer,
    optimizer_of,
    ours,
    own_mistakes,
)
from plugin.check.rules.decay.upstream import theirs
from plugin.config.problem import ERROR, WARNING, Fix, Problem, assign, both
from plugin.decay.constructor import LayerDecayOptimWrapperConstructor
from plugin.decay.settings import OWN_KEYS
from plugin.spec import type_name

_KEY = 'optim_wrapper.constructor'


def decay(checked: CheckedConfig) -> Iterator[Problem]:
    """Look at the constructor of the optimizer with this model and these keys."""
    optimizer = optimizer_of(checked)
    if optimizer is None:
        return
    name, by_name = optimizer.cls.__name__, optimizer.named_groups is not None
    keys = [key for key in OWN_KEYS if key in optimizer.paramwise]
    if issubclass(optimizer.cls, LayerDecayOptimWrapperConstructor):
        for mistake in own_mistakes(checked, optimizer):
            yield _of(mistake)
        yield from _warmup(optimizer, ERROR)
    elif keys and (optimizer.cls is DefaultOptimWrapperConstructor or by_name):
        yield _problem(
            _KEY,
            f'{name}, which ignores {" and ".join(keys)} in paramwise_cfg',
            LayerDecayOptimWrapperConstructor.__name__,
            both([*ours(checked, optimizer), *bias_warmup(optimizer)]),
            safe=all(m.safe for m in own_mistakes(checked, optimizer)),
        )
    elif by_name:
        yield from _named(checked, optimizer)
    elif optimizer.layer_decay is not None:
        for mistake in theirs(checked, optimizer, optimizer.layer_decay):
            yield _of(mistake)
    elif optimizer.paramwise:
        yield from _warmup(optimizer, WARNING)


def _named(checked: CheckedConfig, optimizer: Optimizer) -> Iterator[Problem]:
    names = left_out(checked, optimizer)
    if names:
        more = ', ...' if len(names) > 1 else ''
        yield _problem(
            _KEY,
            f'{optimizer.cls.__name__}, which takes what is named weight or bias, and '
            f'leaves {len(names)} parameters untrained: {names[0]}{more}',
            'a constructor that takes all parameters',
            both([*with_all(optimizer), *bias_warmup(optimizer)]),
            WARNING if are_its_own(checked, optimizer, names) else ERROR,
        )
    elif optimizer.paramwise and 'base_total_batch_size' not in optimizer.paramwise:
        key = 'optim_wrapper.paramwise_cfg.base_total_batch_size'
        expected = f'a number: {optimizer.cls.__name__} needs it'
        yield _problem(key, 'nothing', expected, assign(key, 64))


def _warmup(optimizer: Optimizer, severity: str) -> Iterator[Problem]:
    statements = bias_warmup(optimizer)
    if statements:
        yield _problem(
            'default_hooks.param_scheduler',
            f'{type_name(optimizer.scheduler)}, which takes the third parameter group '
            f'for the biases; {optimizer.cls.__name__} makes other groups',
            'warmup_bias_lr=0.0, which warms it up as the others',
            both(statements),
            severity,
            safe=True,
        )


def _of(mistake: Mistake) -> Problem:
    fix = both(mistake.statements)
    found, expected = mistake.found, mistake.expected
    return _problem(mistake.key, found, expected, fix, safe=mistake.safe)


def _problem(
    key: str,
    found: str,
    expected: str,
    fix: Fix,
    severity: str = ERROR,
    safe: bool = False,
) -> Problem:
    return Problem(key, 'decay', severity, found, expected, fix, safe=safe)
