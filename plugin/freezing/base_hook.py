"""The common base of the hooks in :mod:`plugin.freezing.hooks`.

How a class freezes is the matter of ``frozen_stages`` beside this file, the
optimizer's groups that of ``optimizer_groups``, DDP's that of ``rewrap``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from plugin.freezing.distributed import check_wrapper, let_gradients_in, rewrap, unwrap
from plugin.freezing.find_backbone import find_backbone
from plugin.freezing.frozen_stages import StageFreezer
from plugin.freezing.optimizer_groups import optimizers, take_in
from plugin.freezing.schedule import (
    Phase,
    check_milestones,
    count,
    plan_phases,
    ramp_of,
)

DataBatch = dict | tuple | list | None


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
        check_milestones(milestones, self.unit)
        if warmup_iters < 0 or not 0 < warmup_ratio <= 1:
            raise ValueError(
                f'warmup_iters={warmup_iters} and warmup_ratio={warmup_ratio}: write a '
                'number of iterations from 0 (no ramp), and a fraction of the learning '
                'rate above 0 and up to 1'
            )
        self.milestones = sorted(milestones, key=lambda pair: pair[0])
        self.frozen_stages = frozen_stages
        self.backbone = backbone
        self.keep_frozen = (
            [keep_frozen] if isinstance(keep_frozen, str) else keep_frozen
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
        self.begin(name, module)
        level = logging.INFO if self.phases[0].freeze.params else logging.WARNING
        for line in self.plan():
            _say(line, level)
        self._take_in(runner)
        for optimizer in optimizers(runner.optim_wrapper) if self.warmup_iters else ():
            ramp_of(optimizer)
        # Also if nothing has changed: one that cannot be built again is reported now.
        rewrap(runner)
        self._wrapped_for = _trainable(module)

    def begin(self, name: str, module: nn.Module) -> None:
        """Freeze what is frozen before the first milestone, and plan the others.

        Args:
            name: Name of the backbone in the model, for messages.
            module: The backbone.

        Raises:
            ValueError: It can't freeze, or a milestone does not fit it.
        """
        self.freezer = freezer = StageFreezer(module, name, self.keep_frozen)
        first = freezer.configured
        if self.frozen_stages is not None:
            first = freezer.at(self.frozen_stages)
        self.phases = plan_phases(freezer, first, self.milestones, self.unit)
        self._phase = self.phases[0]
        freezer.apply(first)

    def plan(self) -> list[str]:
        """Return what is frozen at first, and what later, in words."""
        freezer, (first, *later) = self.freezer, self.phases
        if not first.freeze.params:
            return [
                f'{freezer.label} has frozen_stages={first.freeze.stages} and nothing '
                f'in it is frozen by that, so {type(self).__name__} has nothing to do; '
                'set frozen_stages of the backbone in the config'
            ]
        lines = [
            f'{freezer.label}: frozen_stages={first.freeze.stages} freezes '
            f'{freezer.describe(first.freeze.params)}'
        ]
        lines += [
            f'{freezer.label}: frozen_stages={phase.freeze.stages} after '
            f'{count(phase.begin, self.unit)}'
            for phase in later
        ]
        if freezer.fixed:
            lines.append(
                f'{freezer.label}: {len(freezer.fixed)} tensors are frozen for other '
                'reasons (norm_cfg, say) and stay so'
            )
        return lines

    def needed(self) -> list[nn.Parameter]:
        """Return what the optimizer must hold from the start, frozen or not."""
        names = frozenset().union(*(phase.unfrozen for phase in self.phases))
        if not names:
            # A number of the hook's own may be below that of the config.
            names = self.freezer.configured.params - self._phase.freeze.params
        else:
            # All that the class froze, so that a resumed run may have other milestones.
            names |= self.freezer.configured.params
        return self.freezer.params(names)

    def before_train(self, runner: Runner) -> None:
        """Catch up with a resumed checkpoint."""
        if self.freezer is not None:
            let_gradients_in(runner)
            self._enter(runner)
            # Initialization may have changed flags of its own: mmpretrain's MoCoV3ViT
            # does it for its position embedding.
            self._rewrap(runner)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DataBatch = None
    ) -> None:
        """Hold what is frozen, and set the ramp of what was unfrozen."""
        if self.freezer is None:
            return
        self.freezer.hold(self._phase.freeze)
        for phase in self.phases[1:] if self.warmup_iters else ():
            done = (runner.iter - self._first_iter(runner, phase)) / self.warmup_iters
            factor = self.warmup_ratio + (1 - self.warmup_ratio) * min(max(done, 0), 1)
            for optimizer in optimizers(runner.optim_wrapper):
                ramp_of(optimizer).set(self.freezer.params(phase.unfrozen), factor)

    def _now(self, runner: Runner) -> int:
        """Return how far training has come, in ``unit``."""
        return runner.iter

    def _end(self, runner: Runner) -> int:
        """Return how far training goes, in ``unit``."""
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
                f'{type(self).__name__} would unfreeze after '
                f'{self.unit} {late[0]}, but training has {count(end, self.unit)}; '
                f'write a number from 0 to {end - 1}, or use FreezeBackboneHook to '
                'keep the stages frozen'
            )
        for hook in runner.hooks:
            other = getattr(hook, 'freezer', None)
            if isinstance(hook, BackboneFreezing) and other is not None:
                if other.backbone is module:
                    raise ValueError(
                        f'{type(hook).__name__} and {type(self).__name__} both hold '
                        f'{other.label}; keep one of them, with all its milestones in '
                        '`milestones`, or name another `backbone` in one of them'
                    )

    def _enter(self, runner: Runner) -> None:
        """Make the phase hold that belongs to the present epoch or iteration."""
        now = self._now(runner)
        phase = [phase for phase in self.phases if phase.begin <= now][-1]
        if phase is self._phase:
            return
        freezer, frozen = self.freezer, phase.freeze.params
        unfrozen = self._phase.freeze.params - frozen
        self._phase = phase
        freezer.apply(phase.freeze)
        self._rewrap(runner)
        late = f' (resumed after {count(now, self.unit)})' if now > phase.begin else ''
        ramp = (
            f'; their learning rate rises from {self.warmup_ratio:g} of its value over '
            f'{self.warmup_iters} iterations'
        )
        _say(
            f'{freezer.label}: frozen_stages={phase.freeze.stages} after '
            f'{count(phase.begin, self.unit)}{late} unfreezes '
            f'{freezer.describe(unfrozen)}{ramp if self.warmup_iters else ""}; '
            f'{len(frozen)} tensors stay frozen'
        )

    def _take_in(self, runner: Runner) -> None:
        left_out = take_in(runner, self.needed())
        if left_out:
            _say(
                f'the optimizer constructor leaves {len(left_out)} of the frozen '
                f'tensors of {self.freezer.label} out, as it would if they were not '
                'frozen; they will not train after they are unfrozen either',
                logging.WARNING,
            )

    def _rewrap(self, runner: Runner) -> None:
        trainable = _trainable(self.freezer.backbone)
        if trainable != self._wrapped_for:
            self._wrapped_for = trainable
            rewrap(runner)


def _trainable(module: nn.Module) -> list[bool]:
    return [param.requires_grad for param in module.parameters()]


def _say(text: str, level: int = logging.INFO) -> None:
    print_log(text, logger='current', level=level)
