"""Constructors that take what is named weight or bias, and hooks that count on that.

mmyolo has them, for YOLOv5 and YOLOv7: three parameter groups, of which the third is
the biases. Source: mmyolo 0.6.0, engine/optimizers and
engine/hooks/yolov5_param_scheduler_hook.py.
"""

from __future__ import annotations

from torch import nn

from plugin.check.checked_config import CheckedConfig
from plugin.check.rules.decay.settings import CFG, Optimizer
from plugin.config.problem import Fix, assign, delete


def left_out(checked: CheckedConfig, optimizer: Optimizer) -> list[str]:
    """Names of the parameters that are in none of the three groups."""
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
    """Whether all these parameters are of the modules of the constructor's library.

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
