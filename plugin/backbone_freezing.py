"""What the hooks in :mod:`plugin.unfreeze` have in common.

How a class freezes is the matter of :mod:`plugin.frozen_stages`, the optimizer's
groups that of :mod:`plugin.optimizer_groups`, DDP's that of :mod:`plugin.rewrap`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from plugin.find_backbone import find_backbone
from plugin.frozen_stages import Freeze, StageFreezer
from plugin.lr_ramp import ramp_of
from plugin.optimizer_groups import optimizers, take_in
from plugin.reentrant_checkpoint import let_gradients_in
from plugin.rewrap import check_wrapper, rewrap, unwrap


@dataclass(frozen=True)
class Phase:
    """What is frozen from ``begin`` on, and what was released there."""

    begin: int
    freeze: Freeze
    released: frozenset[str]


class BackboneFreezing(Hook):
    """Base of the hooks: phases, in each of which fewer stages are frozen.

    In ``before_run`` it freezes, and does all that must be there before a checkpoint
    is resumed. :meth:`_enter` then brings the model into the phase that it is time for.

    Args:
        milestones: Pairs of an epoch or iteration and the ``frozen_stages`` that holds
            from there on; None is the value at which the class freezes nothing.
        frozen_stages: What holds before the first; None is what the config has set.
        backbone, keep_frozen, warmup_iters, warmup_ratio: see the hooks.
    """

    # Before every hook that looks at the model or at the optimizer.
    priority = 'VERY_HIGH'
    unit = 'iteration'

    def __init__(
        self,
        milestones: Sequence[tuple[int, int | None]],
        frozen_stages: int | None,
        backbone: str | None,
        keep_frozen: Sequence[str],
        warmup_iters: int,
        warmup_ratio: float,
    ) -> None:
        if warmup_iters < 0 or not 0 < warmup_ratio <= 1:
            raise ValueError(
                f'warmup_iters={warmup_iters} and warmup_ratio={warmup_ratio}: write a '
                'number of iterations from 0 (no ramp), and a fraction of the learning '
                'rate above 0 and up to 1'
            )
        self.milestones = sorted(milestones, key=lambda pair: pair[0])
        begins = [begin for begin, _ in self.milestones]
        if any(type(b) is not int or b < 0 for b in begins) or len(set(begins)) < len(
            begins
        ):
            raise ValueError(
                f'{type(self).__name__} got the {self.unit} milestones {begins}; each '
                'must be a whole number from 0, and none may be there twice'
            )
        self.frozen_stages = frozen_stages
        self.backbone = backbone
        self.keep_frozen = (
            (keep_frozen,) if isinstance(keep_frozen, str) else keep_frozen
        )
        self.warmup_iters = warmup_iters
        self.warmup_ratio = warmup_ratio
        self.freezer: StageFreezer | None = None
        self.phases: list[Phase] = []

    def before_run(self, runner: Runner) -> None:
        """Freeze, take all into the optimizer, and wrap the model accordingly."""
        if not isinstance(runner.optim_wrapper, OptimWrapper):
            return  # Runner.val() or Runner.test(): nothing trains
        name, module = find_backbone(unwrap(runner.model), self.backbone)
        if self.freezer is not None and self.freezer.backbone is module:
            return  # Runner.test() after Runner.train()
        self._check(runner, module)
        self.freezer = StageFreezer(module, name, self.keep_frozen)
        self.phases = self._plan()
        self._wrapped_for = _trainable(module)
        self._phase = self.phases[0]
        self.freezer.apply(self._phase.freeze)
        self._report(runner)
        self._take_in(runner)
        self._rewrap(runner)

    def before_train(self, runner: Runner) -> None:
        """Catch up with a resumed checkpoint."""
        if self.freezer is not None:
            let_gradients_in(runner)
            self._enter(runner)
            # Initialization may have changed flags of its own, as mmpretrain's MoCoV3ViT
            # does it for its position embedding.
            self._rewrap(runner)

    def before_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
    ) -> None:
        """Hold what is frozen, and set the ramp of what was released."""
        if self.freezer is None:
            return
        self.freezer.hold(self._phase.freeze)
        for phase in self.phases if self.warmup_iters else ():
            done = (runner.iter - self._first_iter(runner, phase)) / self.warmup_iters
            factor = self.warmup_ratio + (1 - self.warmup_ratio) * min(max(done, 0), 1)
            for optimizer in optimizers(runner.optim_wrapper):
                ramp_of(optimizer).set(self.freezer.params(phase.released), factor)

    def _now(self, runner: Runner) -> int:
        """How far training has come, in ``unit``."""
        return runner.iter

    def _end(self, runner: Runner) -> int:
        """How far training goes, in ``unit``."""
        return runner.max_iters

    def _first_iter(self, runner: Runner, phase: Phase) -> int:
        return phase.begin

    def _check(self, runner: Runner, module: nn.Module) -> None:
        if not isinstance(runner, Runner):
            raise ValueError(
                f'{type(self).__name__} works with mmengine.runner.Runner, not with '
                f'{type(runner).__name__}'
            )
        check_wrapper(runner.model)
        end = self._end(runner)
        late = [begin for begin, _ in self.milestones if begin >= end]
        if late:
            raise ValueError(
                f'{type(self).__name__} would release after {self._count(late[0])}, but '
                f'this training has {end}; write a number from 0 to {end - 1}, or use '
                'FreezeBackboneHook to keep the stages frozen'
            )
        for hook in runner.hooks:
            if isinstance(hook, BackboneFreezing) and hook.freezer is not None:
                if hook.freezer.backbone is module:
                    raise ValueError(
                        f'{type(hook).__name__} and {type(self).__name__} both hold '
                        f'{hook.freezer.label}; keep one of them, with all its milestones '
                        'in `milestones`, or name another `backbone` in one of them'
                    )

    def _plan(self) -> list[Phase]:
        freezer = self.freezer
        first = freezer.configured
        if self.frozen_stages is not None:
            first = freezer.at(self.frozen_stages)
        phases = [Phase(0, first, frozenset())]
        for begin, stages in self.milestones if first.params else ():
            before = phases[-1].freeze
            freeze = freezer.at(freezer.nothing if stages is None else stages)
            if not freeze.params < before.params:
                raise ValueError(
                    f'frozen_stages={freeze.stages} after {self._count(begin)} releases '
                    f'nothing in {freezer.label}, which has frozen_stages={before.stages} '
                    'until then; each milestone must freeze fewer stages than the one '
                    f'before ({freezer.nothing} freezes nothing)'
                )
            phases.append(Phase(begin, freeze, before.params - freeze.params))
        return phases

    def _enter(self, runner: Runner) -> None:
        """Make the phase hold that belongs to the present epoch or iteration."""
        now = self._now(runner)
        phase = [phase for phase in self.phases if phase.begin <= now][-1]
        if phase is self._phase:
            return
        released = self._phase.freeze.params - phase.freeze.params
        self._phase = phase
        self.freezer.apply(phase.freeze)
        self._rewrap(runner)
        late = f' (resumed after {self._count(now)})' if now > phase.begin else ''
        ramp = (
            f'; their learning rate rises from {self.warmup_ratio:g} of its value over '
            f'{self.warmup_iters} iterations'
            if self.warmup_iters
            else ''
        )
        self._say(
            f'{self.freezer.label}: frozen_stages={phase.freeze.stages} after '
            f'{self._count(phase.begin)}{late} releases '
            f'{self.freezer.describe(released)}{ramp}; {len(phase.freeze.params)} tensors '
            'stay frozen'
        )

    def _take_in(self, runner: Runner) -> None:
        names = frozenset().union(*(phase.released for phase in self.phases))
        # All that the class froze, so that a resumed run may have other milestones.
        names |= self.freezer.configured.params if names else frozenset()
        left_out = take_in(runner, self.freezer.params(names))
        if left_out:
            self._say(
                f'the optimizer constructor leaves {len(left_out)} of the frozen tensors '
                f'of {self.freezer.label} out, as it would if they were not frozen; they '
                'will not train after their release either',
                logging.WARNING,
            )

    def _rewrap(self, runner: Runner) -> None:
        trainable = _trainable(self.freezer.backbone)
        if trainable != self._wrapped_for:
            self._wrapped_for = trainable
            rewrap(runner)

    def _report(self, runner: Runner) -> None:
        freezer, first = self.freezer, self.phases[0].freeze
        if not first.params:
            self._say(
                f'{freezer.label} has frozen_stages={first.stages} and nothing in it is '
                f'frozen by that, so {type(self).__name__} has nothing to do; set '
                'frozen_stages of the backbone in the config',
                logging.WARNING,
            )
            return
        self._say(
            f'{freezer.label}: frozen_stages={first.stages} freezes '
            f'{freezer.describe(first.params)}'
        )
        for phase in self.phases[1:]:
            self._say(
                f'{freezer.label}: frozen_stages={phase.freeze.stages} after '
                f'{self._count(phase.begin)}'
            )
        if freezer.fixed:
            self._say(
                f'{freezer.label}: {len(freezer.fixed)} tensors are frozen for other '
                'reasons (norm_cfg, say) and stay so'
            )

    def _count(self, number: int) -> str:
        return f'{number} {self.unit}{"" if number == 1 else "s"}'

    def _say(self, text: str, level: int = logging.INFO) -> None:
        print_log(text, logger='current', level=level)


def _trainable(module: nn.Module) -> list[bool]:
    return [param.requires_grad for param in module.parameters()]
