"""A real mmengine Runner around a real backbone, small enough for a test.

:class:`ToyModel` puts a 1x1 convolution on every map of the backbone and trains it
towards a number that comes with the image; nothing in it is random once it is built.
:func:`toy_config` is a whole config for it, to be changed by the test, and
:func:`build_runner` makes the runner. :class:`Recorder` is a hook that keeps copies.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, HOOKS, METRICS, MODELS, DefaultScope
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Dataset


@DATASETS.register_module()
class ToyImages(Dataset):
    """``length`` pairs of an image (3, size, size) and a number, always the same."""

    def __init__(self, length: int, size: int) -> None:
        generator = torch.Generator().manual_seed(7)
        self.images = torch.randn(length, 3, size, size, generator=generator)
        self.targets = torch.rand(length, generator=generator)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return dict(image=self.images[index], target=self.targets[index])


@METRICS.register_module()
class ToyMetric(BaseMetric):
    """Counts."""

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results.append(1)

    def compute_metrics(self, results: list) -> dict[str, float]:
        return dict(count=len(results))


@MODELS.register_module()
class ToyModel(BaseModel):
    """``backbone`` of the library ``scope``, and a 1x1 convolution on each map."""

    def __init__(
        self, backbone: dict, scope: str, more: dict | None = None, size: int = 32
    ) -> None:
        super().__init__()
        torch.manual_seed(3)
        with DefaultScope.overwrite_default_scope(scope):
            self.backbone = MODELS.build(copy.deepcopy(backbone))
            # A second backbone under another name.
            self.more = MODELS.build(copy.deepcopy(more)) if more else None
        self.heads = nn.ModuleList(
            nn.Conv2d(f.shape[1], 1, 1)
            for f in self._features(torch.zeros(2, 3, size, size))
        )

    def _features(self, x: Tensor) -> list[Tensor]:
        features = list(self.backbone(x))
        if self.more is not None:
            features += self.more(x)
        # An unused map would be a parameter without a gradient.
        return [f for f in features if f.ndim == 4]

    def get_layer_depth(self, param_name: str) -> tuple[int, int]:
        """Return the depth, which mmpretrain's layer decay asks the whole model for."""
        return self.backbone.get_layer_depth(param_name, prefix='backbone.')

    def forward(self, image: Tensor, target: Tensor, mode: str = 'tensor') -> Any:
        """Return the loss of (N, 3, H, W) and (N,), or a list of N predictions."""
        maps = self._features(image)
        outs = [
            h(f).tanh().mean((1, 2, 3)) for h, f in zip(self.heads, maps, strict=True)
        ]
        # tanh of each position first: a plain mean after a norm has no gradient.
        if mode == 'loss':
            return dict(loss=sum((out - target).pow(2).mean() for out in outs))
        return list(outs[-1])


@HOOKS.register_module()
class Recorder(Hook):
    """Keeps copies of parameters and buffers before the first and after each epoch.

    ``states[i]`` is the state dict after ``i`` epochs (``interval`` iterations if that
    is given), ``trainable[i]`` the names that required a gradient in the last iteration
    before it, ``lrs`` the rates of all groups at each iteration.
    """

    priority = 'VERY_LOW'

    def __init__(self, interval: int | None = None) -> None:
        self.interval = interval
        self.states: list[dict[str, Tensor]] = []
        self.trainable: list[set[str]] = [set()]
        self.lrs: list[list[float]] = []

    def before_train(self, runner: Runner) -> None:
        self._copy(runner)

    def after_train_iter(
        self, runner, batch_idx, data_batch=None, outputs=None
    ) -> None:
        groups = runner.optim_wrapper.optimizer.param_groups
        self.lrs.append([group['lr'] for group in groups])
        per = self.interval or len(runner.train_dataloader)
        if (runner.iter + 1) % per == 0:
            model = bare(runner)
            self.trainable.append(
                {n for n, p in model.named_parameters() if p.requires_grad}
            )
            self._copy(runner)

    def _copy(self, runner: Runner) -> None:
        state = bare(runner).state_dict()
        self.states.append({name: value.clone() for name, value in state.items()})

    def moved(self, before: int, after: int, prefix: str = 'backbone.') -> set[str]:
        """Return the entries below ``prefix`` that differ between two of the states."""
        return {
            name
            for name, value in self.states[before].items()
            if name.startswith(prefix)
            # What a state dict leaves out has not moved by then.
            and name in self.states[after]
            and not torch.equal(value, self.states[after][name])
        }


def bare(runner: Runner) -> nn.Module:
    return getattr(runner.model, 'module', runner.model)


def toy_config(
    backbone: dict,
    scope: str,
    work_dir: Path,
    hooks: list[dict],
    epochs: int = 4,
    size: int = 32,
) -> Config:
    """4 iterations of 2 images an epoch, validation and a checkpoint after each."""
    data = dict(type='ToyImages', size=size)
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
    )
    return Config(
        dict(
            model=dict(type='ToyModel', backbone=backbone, scope=scope, size=size),
            work_dir=str(work_dir),
            train_dataloader=dict(dataset=dict(**data, length=8), **loader),
            val_dataloader=dict(dataset=dict(**data, length=2), **loader),
            train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1),
            val_cfg=dict(),
            val_evaluator=dict(type='ToyMetric'),
            optim_wrapper=dict(
                optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
                paramwise_cfg=dict(norm_decay_mult=0.0),
            ),
            param_scheduler=[dict(type='MultiStepLR', milestones=[3], by_epoch=True)],
            custom_hooks=[*hooks, dict(type='Recorder')],
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
            default_scope='mmengine',
            log_level='WARNING',
        )
    )


def build_runner(config: Config) -> Runner:
    """Return a runner under a name of its own, as mmengine keeps them by name."""
    config = copy.deepcopy(config)
    build_runner.count += 1
    config.experiment_name = f'toy_{build_runner.count}'
    return Runner.from_cfg(config)


build_runner.count = 0


def train(config: Config) -> tuple[Runner, Recorder]:
    """Train, and give back the runner with its recorder."""
    runner = build_runner(config)
    runner.train()
    return runner, recorder_of(runner)


def recorder_of(runner: Runner) -> Recorder:
    return next(hook for hook in runner.hooks if isinstance(hook, Recorder))
