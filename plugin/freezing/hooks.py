"""Hooks that freeze stages of a backbone, and unfreeze them during training."""

from __future__ import annotations

from collections.abc import Sequence

from mmengine.runner import IterBasedTrainLoop, Runner

from plugin.freezing.base_hook import BackboneFreezing
from plugin.freezing.schedule import Phase
from plugin.registry import HOOKS


@HOOKS.register_module()
class FreezeBackboneHook(BackboneFreezing):
    """Freezes stages of a backbone for the whole training.

    ``frozen_stages`` in the config does the same, except that some backbones (mmdet's
    Swin, CSPDarknet and CSPNeXt, mmyolo's) freeze later than DDP looks, and training
    on several GPUs then stops with "Expected to have finished reduction"; that others
    (mmpretrain's ViT, mmdet's MobileNetV2) leave some frozen modules in training mode;
    and that nobody says when nothing is frozen.

    Args:
        frozen_stages: In the counting of the backbone's class; None is what its config
            has set.
        backbone: Dotted name of the backbone in the model. None finds ``backbone``, or
            the only one deeper down.

    Raises:
        ValueError: In ``before_run``: no backbone, it can't freeze, or it does not take
            ``frozen_stages``.
    """

    def __init__(
        self,
        frozen_stages: int | None = None,
        backbone: str | None = None,
    ) -> None:
        super().__init__((), frozen_stages, backbone, (), 0, 1)


@HOOKS.register_module()
class UnfreezeBackboneEpochBasedHook(BackboneFreezing):
    """Holds the frozen stages of a backbone until an epoch, then trains them.

    What is frozen before is the ``frozen_stages`` of the backbone's config. Until the
    milestone its weights and the statistics of its norms don't change by a bit; from
    it on they train, at the rate and weight decay that ``paramwise_cfg`` or the
    constructor gives them, as far as ``norm_eval`` lets the statistics.

    Args:
        unfreeze_epoch: Epochs to train before all is unfrozen; default 1.
        milestones: To unfreeze in steps, instead of ``unfreeze_epoch``: pairs of an
            epoch and the ``frozen_stages`` that holds from it on, such as
            ``[(1, 2), (3, 0), (5, -1)]``. A list, since a config can't hold a dict
            with numbers for keys.
        backbone: Dotted name of the backbone in the model, such as
            ``'student.backbone'``. None finds ``backbone``, or the only one deeper
            down. Two backbones take two hooks.
        keep_frozen: Parts of parameter names, counted from the backbone, that stay
            frozen. Only for what cannot be detected: norms that ``norm_cfg`` gives
            ``requires_grad=False`` are found, the fixed
            ``pos_embed`` of a frozen stem is not.
        warmup_iters: Iterations over which the learning rate of what was unfrozen
            rises linearly to its value; 0 has it at once.
        warmup_ratio: Fraction of the learning rate at the start, in (0, 1].

    Raises:
        ValueError: At once: a negative or repeated milestone, or a bad ramp. In
            ``before_run``: an iteration-based loop, a milestone after the end or one
            that unfreezes nothing, no backbone, or one that can't freeze.

    Source: the name and ``unfreeze_epoch`` are those of the mmdetection tutorial by
    which many configs go; the hook there has no effect in mmengine.
    """

    unit = 'epoch'

    def __init__(
        self,
        unfreeze_epoch: int | None = None,
        milestones: Sequence[tuple[int, int]] | None = None,
        backbone: str | None = None,
        keep_frozen: Sequence[str] = (),
        warmup_iters: int = 0,
        warmup_ratio: float = 0.1,
    ) -> None:
        if unfreeze_epoch is None and milestones is None:
            unfreeze_epoch = 1
        steps = _steps('unfreeze_epoch', unfreeze_epoch, milestones)
        super().__init__(steps, None, backbone, keep_frozen, warmup_iters, warmup_ratio)

    def before_train_epoch(self, runner: Runner) -> None:
        """Unfreeze what this epoch unfreezes."""
        if self.freezer is not None:
            self._enter(runner)

    def _now(self, runner: Runner) -> int:
        return runner.epoch

    def _end(self, runner: Runner) -> int:
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            raise ValueError(
                f'{type(self).__name__} counts epochs, but '
                f'{type(runner.train_loop).__name__} has only one, so nothing would be '
                'unfrozen; use '
                "dict(type='UnfreezeBackboneIterBasedHook', unfreeze_iter=...)"
            )
        return runner.max_epochs

    def _first_iter(self, runner: Runner, phase: Phase) -> int:
        return phase.begin * len(runner.train_dataloader)


@HOOKS.register_module()
class UnfreezeBackboneIterBasedHook(BackboneFreezing):
    """Holds the frozen stages of a backbone until an iteration, then trains them.

    For loops that count iterations, such as mmsegmentation's; works in the other one
    as well. See :class:`UnfreezeBackboneEpochBasedHook`.

    Args:
        unfreeze_iter: Iterations to train before all is unfrozen.
        milestones: To unfreeze in steps, instead of ``unfreeze_iter``: pairs of an
            iteration and the ``frozen_stages`` that holds from it on.
        backbone: As there.
        keep_frozen: As there.
        warmup_iters: As there.
        warmup_ratio: As there.

    Raises:
        ValueError: As there, save for the loop; also without any milestone.
    """

    def __init__(
        self,
        unfreeze_iter: int | None = None,
        milestones: Sequence[tuple[int, int]] | None = None,
        backbone: str | None = None,
        keep_frozen: Sequence[str] = (),
        warmup_iters: int = 0,
        warmup_ratio: float = 0.1,
    ) -> None:
        steps = _steps('unfreeze_iter', unfreeze_iter, milestones)
        super().__init__(steps, None, backbone, keep_frozen, warmup_iters, warmup_ratio)

    def before_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | tuple | list | None = None,
    ) -> None:
        """Unfreeze what this iteration unfreezes, and hold the rest."""
        if self.freezer is not None:
            self._enter(runner)
        super().before_train_iter(runner, batch_idx, data_batch)


def _steps(
    key: str, at: int | None, milestones: Sequence[tuple[int, int]] | None
) -> list[tuple[int, int | None]]:
    if at is not None and milestones is None:
        return [(at, None)]
    if at is None and milestones:
        if all(len(pair) == 2 and type(pair[1]) is int for pair in milestones):
            return [tuple(pair) for pair in milestones]
    raise ValueError(
        f'{key}={at!r} and milestones={milestones!r}: write {key}, after '
        'which everything is unfrozen, or milestones, pairs of a time and the '
        'frozen_stages from then on, such as [(1, 2), (3, 0), (5, -1)]'
    )
