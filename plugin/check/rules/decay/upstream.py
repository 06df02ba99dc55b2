"""The libraries' own constructors, by what they know and by what they take.

mmdet, mmseg and mmpretrain have some for layer decay. mmyolo has some that take only
what is named weight or bias, in three groups of which the third is the biases, and a
hook that counts on that. Source: mmyolo 0.6.0, engine/optimizers and
engine/hooks/yolov5_param_scheduler_hook.py.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from plugin.check.checked_config import CheckedConfig
from plugin.check.rules.decay.settings import (
    CFG,
    Mistake,
    Optimizer,
    num_layers,
    ours,
    own_mistakes,
)
from plugin.config.problem import Fix, assign, delete
from plugin.decay.layer_depth import LAYER_WISE
from plugin.decay.settings import RATES
from plugin.libraries import LayerDecay


def theirs(
    checked: CheckedConfig, optimizer: Optimizer, knows: LayerDecay
) -> Iterator[Mistake]:
    """Yield what a library's own constructor would stop at, or not read.

    Args:
        checked: The config.
        optimizer: Its optimizer.
        knows: What that constructor knows.
    """
    if knows.families is None:
        yield from _by_asking(checked, optimizer)
    else:
        yield from _by_class_name(checked, optimizer, knows)


def _by_class_name(
    checked: CheckedConfig, optimizer: Optimizer, knows: LayerDecay
) -> Iterator[Mistake]:
    """Look at mmdet's and mmseg's, which ask for names of classes and parameters."""
    if checked.backbone is None:
        return
    name, own = optimizer.cls.__name__, type(checked.backbone).__name__
    library = optimizer.library
    stage_wise = optimizer.paramwise.get('decay_type') == 'stage_wise'
    family = next((part for part in knows.families if part in own), None)
    if family is None or (stage_wise and family not in knows.by_stage):
        parts = ', '.join(knows.families)
        found = f'{name} of {library}, which knows {parts} and stops at {own}'
        yield _replaced(checked, optimizer, found)
        return
    nested = checked.backbone_key != 'model.backbone'
    names = [n for n, _ in checked.backbone.named_parameters()]
    if nested or not any(n.startswith(knows.families[family]) for n in names):
        found = f'{name} of {library}, which finds no layers in {own}'
        yield _replaced(checked, optimizer, found)
        return
    yield from _rate(optimizer, knows.rate)
    right = num_layers(checked.backbone, LAYER_WISE)
    given = optimizer.paramwise.get('num_layers')
    if isinstance(right, int) and given != right:
        key = f'{CFG}.num_layers'
        found = f'{given}, but {own} has {right} layers'
        yield Mistake(key, found, str(right), (assign(key, right),), safe=True)


def _rate(optimizer: Optimizer, right: str) -> Iterator[Mistake]:
    (wrong,) = {*RATES} - {right}
    cfg, name = optimizer.paramwise, optimizer.cls.__name__
    if right not in cfg:
        key = f'{CFG}.{wrong if wrong in cfg else right}'
        statements = [assign(f'{CFG}.{right}', cfg.get(wrong, 0.9))]
        if wrong in cfg:
            statements.append(delete(key))
        found = f'{wrong}, which {name} does not read' if wrong in cfg else 'nothing'
        yield Mistake(key, found, right, tuple(statements), safe=wrong in cfg)


def _by_asking(checked: CheckedConfig, optimizer: Optimizer) -> Iterator[Mistake]:
    """Look at mmpretrain's, which asks the model for the depth of each parameter."""
    name = optimizer.cls.__name__
    if checked.built is None:
        return
    asked = getattr(checked.built, 'get_layer_depth', None)
    model = type(checked.built).__name__
    if asked is None:
        found = f'{name}, but {model} has no get_layer_depth, which it asks for'
        yield _replaced(checked, optimizer, found)
        return
    try:
        for parameter, _ in checked.built.named_parameters():
            asked(parameter)
    except Exception as error:
        reason = (str(error).splitlines() or [''])[0] or type(error).__name__
        found = f'{name}, which gets no depth of {parameter}: {reason}'
        yield _replaced(checked, optimizer, found)
        return
    cfg = optimizer.paramwise
    if 'decay_rate' in cfg or 'layer_decay_rate' not in cfg:
        yield from _rate_of_mmpretrain(optimizer, name)
    for key in ('num_layers', 'decay_type'):
        if key in cfg:
            found = f'{cfg[key]!r}, which {name} does not read'
            fix = delete(f'{CFG}.{key}')
            yield Mistake(f'{CFG}.{key}', found, 'nothing', (fix,), safe=True)


def _rate_of_mmpretrain(optimizer: Optimizer, name: str) -> Iterator[Mistake]:
    cfg, right = optimizer.paramwise, f'{CFG}.layer_decay_rate'
    statements = []
    if 'layer_decay_rate' not in cfg:
        statements.append(assign(right, cfg.get('decay_rate', 0.9)))
    if 'decay_rate' in cfg:
        statements.append(delete(f'{CFG}.decay_rate'))
        found = f'decay_rate, which {name} does not read'
        key = f'{CFG}.decay_rate'
        yield Mistake(key, found, 'layer_decay_rate', tuple(statements), safe=True)
    else:
        yield Mistake(right, 'nothing', 'a number up to 1', tuple(statements))


def _replaced(checked: CheckedConfig, optimizer: Optimizer, found: str) -> Mistake:
    return Mistake(
        'optim_wrapper.constructor',
        found,
        'LayerDecayOptimWrapperConstructor, which finds the layers of any backbone',
        tuple(ours(checked, optimizer)),
        all(mistake.safe for mistake in own_mistakes(checked, optimizer)),
    )


def left_out(checked: CheckedConfig, optimizer: Optimizer) -> list[str]:
    """Return names of the parameters that are in none of the three groups."""
    if checked.built is None:
        return []
    taken = set()
    for module in checked.built.modules():
        for name in ('weight', 'bias'):
            if isinstance(getattr(module, name, None), nn.Parameter):
                taken.add(getattr(module, name))
        if type(module).__name__ in optimizer.named_groups:
            taken.add(module.implicit)
    return [
        name
        for name, param in checked.built.named_parameters()
        if param.requires_grad and param not in taken
    ]


def are_its_own(checked: CheckedConfig, optimizer: Optimizer, names: list[str]) -> bool:
    """Return whether all parameters are of modules of the constructor's library.

    mmyolo's YOLOv6-m and -l were trained like that, with ``alpha`` as it was.
    """
    owners = (checked.built.get_submodule(n.rpartition('.')[0]) for n in names)
    return all(type(o).__module__.startswith(f'{optimizer.library}.') for o in owners)


def with_all(optimizer: Optimizer) -> list[Fix]:
    """Put mmengine's constructor in the place of one that takes some by name."""
    statements = [assign('optim_wrapper.constructor', 'DefaultOptimWrapperConstructor')]
    if 'base_total_batch_size' in optimizer.paramwise:
        statements.append(delete(f'{CFG}.base_total_batch_size'))
    if 'batch_size_per_gpu' in optimizer.settings:
        statements.append(delete('optim_wrapper.optimizer.batch_size_per_gpu'))
    return statements


def bias_warmup(optimizer: Optimizer) -> list[Fix]:
    """Warm up no group as if it were the biases'."""
    if not optimizer.warms_biases:
        return []
    if optimizer.scheduler.get('warmup_bias_lr', 0.1) == 0:
        return []
    return [assign('default_hooks.param_scheduler.warmup_bias_lr', 0.0)]
