"""Layer decay: its keys, the constructor that reads them, and the layers there are."""

from __future__ import annotations

from collections.abc import Iterator

from mmengine.optim import DefaultOptimWrapperConstructor

from plugin.check.checked_config import CheckedConfig
from plugin.check.rule import Rule
from plugin.check.rules.decay.settings import (
    Mistake,
    Optimizer,
    optimizer_of,
    ours,
    own_mistakes,
)
from plugin.check.rules.decay.upstream import (
    are_its_own,
    bias_warmup,
    left_out,
    theirs,
    with_all,
)
from plugin.config.problem import ERROR, WARNING, Problem, assign, both
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
        yield Problem(
            _KEY,
            'decay',
            ERROR,
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
        yield Problem(
            _KEY,
            'decay',
            WARNING if are_its_own(checked, optimizer, names) else ERROR,
            f'{optimizer.cls.__name__}, which takes what is named weight or bias, and '
            f'leaves {len(names)} parameters untrained: {names[0]}{more}',
            'a constructor that takes all parameters',
            both([*with_all(optimizer), *bias_warmup(optimizer)]),
        )
    elif optimizer.paramwise and 'base_total_batch_size' not in optimizer.paramwise:
        key = 'optim_wrapper.paramwise_cfg.base_total_batch_size'
        expected = f'a number: {optimizer.cls.__name__} needs it'
        yield Problem(key, 'decay', ERROR, 'nothing', expected, assign(key, 64))


def _warmup(optimizer: Optimizer, severity: str) -> Iterator[Problem]:
    statements = bias_warmup(optimizer)
    if statements:
        yield Problem(
            'default_hooks.param_scheduler',
            'decay',
            severity,
            f'{type_name(optimizer.scheduler)}, which takes the third parameter group '
            f'for the biases; {optimizer.cls.__name__} makes other groups',
            'warmup_bias_lr=0.0, which warms it up as the others',
            both(statements),
            safe=True,
        )


def _of(mistake: Mistake) -> Problem:
    fix = both(mistake.statements)
    found, expected = mistake.found, mistake.expected
    return Problem(mistake.key, 'decay', ERROR, found, expected, fix, safe=mistake.safe)


RULE = Rule(
    name='decay',
    finds='Layer decay whose keys nothing reads, whose constructor does not know the '
    'backbone, or whose numbers do not fit it.',
    why='Keys that the constructor does not read are ignored; a wrong `num_layers` '
    'gives rates above the base rate; some constructors leave parameters out of '
    'the optimizer.',
    example="_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"
    "custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)\n"
    'optim_wrapper = dict(paramwise_cfg=dict(decay_rate=0.9))',
    fix='Write the constructor that reads them, and the number of layers that the '
    'backbone has. Safe where the rates stay what they are; unsafe where one is '
    'chosen, or a key dropped.',
    look=decay,
)
