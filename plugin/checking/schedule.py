"""How long a config trains, in which unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mmengine.runner import IterBasedTrainLoop

from plugin.checking.parts import find
from plugin.checking.subject import Subject


@dataclass(frozen=True)
class Schedule:
    """The training loop.

    Attributes:
        by_epoch: Whether it counts epochs; else it has only one.
        length: Its epochs or iterations; None if that is not written.
    """

    by_epoch: bool
    length: int | None


def schedule_of(subject: Subject) -> Schedule | None:
    """The training of a config; None if it does not train, or none can be told."""
    cfg = subject.cfg.get('train_cfg')
    if not isinstance(cfg, Mapping):
        return None
    loop = cfg.get('type')
    if isinstance(loop, str):
        loop = find(loop, 'LOOPS', subject.scope)
    if isinstance(loop, type):
        by_epoch = not issubclass(loop, IterBasedTrainLoop)
    elif 'by_epoch' in cfg:
        by_epoch = bool(cfg['by_epoch'])
    else:
        return None
    length = cfg.get('max_epochs' if by_epoch else 'max_iters')
    return Schedule(by_epoch, length if isinstance(length, int) else None)
