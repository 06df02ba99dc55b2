"""An mmengine Runner that trains one linear layer: two iterations an epoch.

:func:`tiny_runner` makes it; :class:`AtStart` is a hook that notes where it starts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset


class TinyData(Dataset):
    """Four samples, and arrays in the meta information, as mmdet's palettes are."""

    metainfo = {'classes': ('a',), 'palette': np.zeros((1, 3), np.uint8)}

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {'inputs': torch.tensor([index, 1.0])}


class TinyModel(BaseModel):
    """One linear layer, trained towards zero."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 1)

    def forward(self, inputs: Any, mode: str = 'tensor') -> Any:
        out = self.linear(torch.stack(list(inputs)))
        return {'loss': out.square().mean()} if mode == 'loss' else out


class TinyMetric(BaseMetric):
    """Counts, so that no checkpoint is better than the first."""

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results.append(1.0)

    def compute_metrics(self, results: list) -> dict[str, np.float64]:
        return {'score': np.float64(len(results))}


class AtStart(Hook):
    """Notes where the training starts, once the checkpoint is loaded."""

    def before_train(self, runner: Runner) -> None:
        self.progress = (runner.epoch, runner.iter)
        self.weights = [p.detach().clone() for p in runner.model.parameters()]
        log = runner.message_hub.log_scalars.get('train/loss')
        self.logged = 0 if log is None else len(log.data[0])


def tiny_runner(work_dir: Path, epochs: int = 2, **settings: Any) -> Runner:
    """Return a runner that saves each epoch and the best, with what mmengine can log.

    Args:
        work_dir: Its folder, and its name.
        epochs: To train.
        **settings: Of the Runner.
    """
    loader = dict(
        batch_size=2,
        dataset=TinyData(),
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    return Runner(
        model=TinyModel(),
        work_dir=str(work_dir),
        train_dataloader=loader,
        val_dataloader=dict(loader),
        train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1),
        val_cfg=dict(),
        val_evaluator=[TinyMetric()],
        test_dataloader=dict(loader),
        test_cfg=dict(),
        test_evaluator=[TinyMetric()],
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=2),
            dict(type='CosineAnnealingLR', T_max=5),
        ],
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', save_best='score', rule='greater')
        ),
        custom_hooks=[dict(type='EMAHook')],
        default_scope='mmengine',
        experiment_name=str(work_dir),
        log_level='WARNING',
        **settings,
    )
