"""Frozen parameters in the optimizer from the start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from mmengine.logging import print_log
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.runner import Runner
from torch import nn
from torch.optim import Optimizer


def optimizers(optim_wrapper: OptimWrapper) -> list[Optimizer]:
    """Return the torch optimizers in a wrapper, or in each of a dict of wrappers."""
    if isinstance(optim_wrapper, OptimWrapperDict):
        return [wrapper.optimizer for wrapper in optim_wrapper.values()]
    return [optim_wrapper.optimizer]


def take_in(runner: Runner, params: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Build the runner's optimizer again if it has left out some of ``params``.

    Constructors leave out what does not require a gradient: mmengine's own as soon as
    there is a ``paramwise_cfg`` (since 0.10.4), and every one of mmdet, mmseg and
    mmpretrain for layer decay. Added later, a group would have no ``initial_lr`` for
    the schedulers and would not be there when a checkpoint is resumed. So the
    constructor of the config runs again while these parameters seem to train, which
    also gives them the rate and the weight decay that it means for them. Then come the
    scaling of the rate and the schedulers, as in ``Runner.train``. To be called in
    ``before_run``, when the schedulers have not made a step.

    Returns:
        Those of ``params`` that the constructor leaves out even if they train.

    Raises:
        ValueError: The optimizer was not built from the runner's config.
    """
    present = _settings(runner.optim_wrapper)
    missing = [param for param in params if param not in present]
    if not missing:
        return []
    config = runner.cfg.get('optim_wrapper')
    if not isinstance(config, dict):
        raise ValueError(
            f'the optimizer has left out {len(missing)} frozen tensors, so they could '
            'never train; build the runner with Runner.from_cfg, so that the optimizer '
            'can be built again with them, or pass an optimizer that holds every '
            'parameter'
        )
    with seeming_to_train([*present, *missing]):
        rebuilt = runner.build_optim_wrapper(config)
    now = _settings(rebuilt)
    if any(now.get(param) != kept for param, kept in present.items()):
        raise ValueError(
            'optim_wrapper in runner.cfg is not what the optimizer of this runner was '
            'built from, and frozen tensors are missing in that one; build the runner '
            'with Runner.from_cfg'
        )
    runner.optim_wrapper = rebuilt
    scheduled = runner.param_schedulers is not None
    # scale_lr refuses to work while there are schedulers, which have seen the old rate.
    runner.param_schedulers = None
    runner.scale_lr(rebuilt, runner.auto_scale_lr)
    if scheduled:
        runner.param_schedulers = runner.build_param_scheduler(
            runner.cfg.get('param_scheduler')
        )
    print_log(
        f'the optimizer was built again, with {len(missing)} frozen tensors that had '
        'been skipped, so that they have a rate and a schedule when they are unfrozen',
        logger='current',
    )
    return [param for param in missing if param not in now]


def _settings(optim_wrapper: OptimWrapper) -> dict[nn.Parameter, tuple]:
    """Weight decay of each parameter, which neither scaling nor schedulers change."""
    return {
        param: (type(optimizer), group.get('weight_decay'))
        for optimizer in optimizers(optim_wrapper)
        for group in optimizer.param_groups
        for param in group['params']
    }


@contextmanager
def seeming_to_train(params: Iterable[nn.Parameter]) -> Iterator[None]:
    """``params`` as a constructor sees them when nothing is frozen."""
    frozen = [param for param in params if not param.requires_grad]
    for param in frozen:
        param.requires_grad_(True)
    try:
        yield
    finally:
        for param in frozen:
            param.requires_grad_(False)
