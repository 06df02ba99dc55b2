"""The phases of a training in which ever fewer stages are frozen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from torch import nn
from torch.optim import Optimizer

from plugin.freezing.frozen_stages import Freeze, StageFreezer


@dataclass(frozen=True)
class Phase:
    """One phase: what is frozen from ``begin`` on, and what was unfrozen there."""

    begin: int
    freeze: Freeze
    unfrozen: frozenset[str]


def check_milestones(milestones: Sequence[tuple], unit: str) -> None:
    """Raise ValueError for a milestone that is negative, repeated or no number."""
    begins = [begin for begin, _ in milestones]
    if any(type(begin) is not int or begin < 0 for begin in begins) or len(
        set(begins)
    ) < len(begins):
        raise ValueError(
            f'the {unit} milestones are {begins}; each must be a whole number from 0, '
            'and none may be there twice'
        )


def plan_phases(
    freezer: StageFreezer,
    first: Freeze,
    milestones: Sequence[tuple[int, int | None]],
    unit: str,
) -> list[Phase]:
    """Phases from the start on, ascending.

    Args:
        freezer: The backbone.
        first: What is frozen until the first milestone.
        milestones: Ascending pairs of a begin and a ``frozen_stages``; None is the
            value at which the class freezes nothing.
        unit: What begins are counted in: epoch or iteration.

    Raises:
        ValueError: A milestone unfreezes nothing, or the class does not take its value.
    """
    phases = [Phase(0, first, frozenset())]
    for begin, stages in milestones if first.params else ():
        before = phases[-1].freeze
        freeze = freezer.at(freezer.nothing if stages is None else stages)
        if not freeze.params < before.params:
            raise ValueError(
                f'frozen_stages={freeze.stages} after {count(begin, unit)} unfreezes '
                f'nothing in {freezer.label}, which has frozen_stages={before.stages} '
                'until then; each milestone must freeze fewer stages than the one '
                f'before ({freezer.nothing} freezes nothing)'
            )
        phases.append(Phase(begin, freeze, before.params - freeze.params))
    return phases


def count(number: int, unit: str) -> str:
    """``1 epoch``, ``2 epochs``."""
    return f'{number} {unit}{"" if number == 1 else "s"}'


_RAMPS: WeakKeyDictionary[Optimizer, Ramp] = WeakKeyDictionary()


class Ramp:
    """Multiplies the learning rate of single parameters, for the time of a step.

    mmengine's schedulers compute a group's next rate from its present one, and hooks
    such as mmyolo's address groups by their number. So rates and groups are theirs
    again as soon as the optimizer has made its step: within it, a group of which only
    some parameters are ramped is cut in two. Gradient scaling, clipping, the log and
    the checkpoint see nothing of it.

    An optimizer has one at most: get it from :func:`ramp_of`.
    """

    def __init__(self, optimizer: Optimizer) -> None:
        self._factors: dict[nn.Parameter, float] = {}
        self._undo: list[tuple[dict, list, float]] = []
        self._num_groups = 0
        optimizer.register_step_pre_hook(self._before_step)
        optimizer.register_step_post_hook(self._after_step)

    def set(self, params: Iterable[nn.Parameter], factor: float) -> None:
        """Multiply the rate of ``params`` by ``factor`` from the next step on."""
        for param in params:
            if factor == 1:
                self._factors.pop(param, None)
            else:
                self._factors[param] = factor

    def _before_step(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        if not self._factors:
            return
        self._num_groups = len(optimizer.param_groups)
        for group in optimizer.param_groups[:]:
            by_factor: dict[float, list[nn.Parameter]] = {}
            for param in group['params']:
                by_factor.setdefault(self._factors.get(param, 1), []).append(param)
            self._undo.append((group, group['params'], group['lr']))
            # The group itself keeps its first part: no optimizer meets an empty group.
            (first, group['params']), *others = by_factor.items()
            for factor, params in others:
                part = {**group, 'params': params, 'lr': group['lr'] * factor}
                optimizer.param_groups.append(part)
            group['lr'] = group['lr'] * first

    def _after_step(self, optimizer: Optimizer, args: tuple, kwargs: dict) -> None:
        if self._undo:
            del optimizer.param_groups[self._num_groups :]
        for group, params, lr in self._undo:
            group['params'], group['lr'] = params, lr
        self._undo.clear()


def ramp_of(optimizer: Optimizer) -> Ramp:
    """The one ramp of this optimizer.

    Raises:
        ValueError: An optimizer that hands its groups on to another one.
    """
    if any(
        cls.__name__ == 'ZeroRedundancyOptimizer' for cls in type(optimizer).__mro__
    ):
        raise ValueError(
            'warmup_iters does not work with ZeroRedundancyOptimizer, which steps '
            'groups of its own; set warmup_iters=0 or take another optimizer'
        )
    if optimizer not in _RAMPS:
        _RAMPS[optimizer] = Ramp(optimizer)
    return _RAMPS[optimizer]
