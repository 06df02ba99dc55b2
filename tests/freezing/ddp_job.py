"""The job of each of two gloo processes for ``test_unfreeze_ddp``.

``python ddp_job.py OUT`` trains every scenario for 20 steps and writes
``OUT/{scenario}_{rank}.pth``: tensors and plain values only.
"""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import mmengine.optim.optimizer.amp_optimizer_wrapper as amp
import torch
from freezable import FIRST, WIDE
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.nn.parallel import DistributedDataParallel
from toy_training import bare, build_runner, recorder_of, toy_config

from plugin.freezing.distributed import rewrap

CASES = {case.name: case for case in [*FIRST, *WIDE]}
EPOCH = dict(type='plugin.UnfreezeBackboneEpochBasedHook')
ITER = dict(type='plugin.UnfreezeBackboneIterBasedHook')
FREEZE = dict(type='plugin.FreezeBackboneHook')


@HOOKS.register_module()
class CommHook(Hook):
    """Puts a communication hook of the user's own on DDP."""

    def before_run(self, runner) -> None:
        runner.model.register_comm_hook(None, allreduce_hook)


def scenario(name: str, stages: int, *hooks: dict, **changes: object) -> Config:
    """Five epochs of four iterations on each of two processes."""
    case = CASES[name]
    config = toy_config(
        case.with_frozen(stages), case.scope, Path('unset'), list(hooks), 5, case.size
    )
    config.train_dataloader.dataset.length = 16
    config.default_hooks.checkpoint = None
    config.launcher = 'pytorch'
    config.env_cfg = dict(dist_cfg=dict(backend='gloo', timeout=60))
    # device_ids=None is what DDP wants on the CPU.
    config.model_wrapper_cfg = dict(
        type='MMDistributedDataParallel',
        device_ids=None,
        broadcast_buffers=False,
        find_unused_parameters=False,
    )
    for key, value in changes.items():
        keys = key.split('__')
        config.merge_from_dict({'.'.join(keys): value})
    return config


def by_iteration(config: Config) -> Config:
    config.train_cfg = dict(by_epoch=False, max_iters=20, val_interval=5)
    config.param_scheduler[0].by_epoch = False
    config.log_processor = dict(by_epoch=False)
    config.custom_hooks[-1].interval = 4
    config.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=False)
    return config


SCENARIOS: dict[str, Callable[[], Config]] = {
    'unfrozen': lambda: scenario('mmdet ResNet', 1, dict(EPOCH, unfreeze_epoch=2)),
    'in steps with a ramp': lambda: by_iteration(
        scenario(
            'mmdet ResNet',
            2,
            dict(ITER, milestones=[(4, 1), (8, 0), (13, -1)], warmup_iters=6),
        )
    ),
    'Swin frozen': lambda: scenario('mmdet Swin', 1, FREEZE),
    'CSPDarknet frozen': lambda: scenario('mmdet CSPDarknet', 1, FREEZE),
    'Swin unfrozen': lambda: scenario('mmdet Swin', 1, dict(EPOCH, unfreeze_epoch=2)),
    'ViT unfrozen': lambda: scenario(
        'mmpretrain VisionTransformer', 2, dict(EPOCH, milestones=[(1, 1), (2, -1)])
    ),
    'accumulated': lambda: by_iteration(
        scenario(
            'mmdet ResNet',
            1,
            # In the middle of an accumulation.
            dict(ITER, unfreeze_iter=9),
            optim_wrapper__accumulative_counts=4,
        )
    ),
    'averaged': lambda: scenario(
        'mmdet ResNet', 1, dict(EPOCH, unfreeze_epoch=2), dict(type='EMAHook')
    ),
    'mixed precision': lambda: scenario(
        'mmdet ResNet',
        1,
        dict(EPOCH, unfreeze_epoch=2, warmup_iters=6),
        optim_wrapper__type='AmpOptimWrapper',
        optim_wrapper__dtype='bfloat16',
        optim_wrapper__clip_grad=dict(max_norm=1.0),
    ),
    'checkpointed': lambda: scenario(
        'mmdet ResNet',
        1,
        dict(EPOCH, unfreeze_epoch=2),
        activation_checkpointing=['backbone.layer1', 'backbone.layer2'],
    ),
    'static graph': lambda: scenario(
        'mmdet Swin',
        1,
        dict(EPOCH, unfreeze_epoch=2),
        model_wrapper_cfg__static_graph=True,
    ),
    'compiled': lambda: scenario(
        'plugin ConvNeXt',
        1,
        dict(EPOCH, unfreeze_epoch=2),
        compile=dict(backend='eager'),
        # Another rate would be another graph.
        param_scheduler=None,
        # torch 2.14 cannot trace AdamW over the groups of a paramwise_cfg.
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1), _delete_=True),
    ),
    'wrapped with settings': lambda: scenario(
        'mmdet ResNet',
        1,
        dict(EPOCH, unfreeze_epoch=2),
        dict(type='CommHook'),
        model_wrapper_cfg__broadcast_buffers=True,
        model_wrapper_cfg__gradient_as_bucket_view=True,
        model_wrapper_cfg__bucket_cap_mb=1,
        model_wrapper_cfg__detect_anomalous_params=True,
    ),
}

ADAPTED = dict(
    _delete_=True,
    type='plugin.PEFTBackbone',
    backbone=dict(type='plugin.TIMMBackbone', model_name='test_vit', out_indices=(-1,)),
    peft_config=dict(peft_type='LORA', r=2, target_modules=['qkv']),
)
if find_spec('peft'):
    SCENARIOS['adapters, then all'] = lambda: scenario(
        'mmdet ResNet', 1, dict(EPOCH, unfreeze_epoch=2), model__backbone=ADAPTED
    )


# Refused, or without a step.
OTHERS: dict[str, Callable[[], Config]] = {
    'wrapped in parts': lambda: scenario(
        'mmdet ResNet',
        1,
        dict(EPOCH, unfreeze_epoch=2),
        model_wrapper_cfg=dict(
            type='MMSeparateDistributedDataParallel', device_ids=None, _delete_=True
        ),
    ),
    'synchronized norms': lambda: scenario(
        'mmdet ResNet', 1, dict(EPOCH, unfreeze_epoch=2), sync_bn='torch'
    ),
}


def same_modules_after_rewrapping(config: Config, work_dir: Path) -> dict:
    """A converted norm trains on a GPU only, so nothing is trained here."""
    config.work_dir = str(work_dir)
    DistributedDataParallel._passing_sync_batchnorm_handle = lambda *args: None
    runner = build_runner(config)
    wrapper, modules = runner.model, list(bare(runner).modules())
    rewrap(runner)
    return dict(
        norms=sum(isinstance(m, torch.nn.SyncBatchNorm) for m in modules),
        new_wrapper=runner.model is not wrapper,
        same=all(a is b for a, b in zip(modules, bare(runner).modules(), strict=True)),
        sync_bn=runner.cfg.sync_bn,
    )


def run(config: Config, work_dir: Path) -> dict:
    config.work_dir = str(work_dir)
    runner = build_runner(config)
    wrappers = [id(runner.model)]
    runner.train()
    model, recorder = bare(runner), recorder_of(runner)
    wrappers.append(id(runner.model))
    names = {p: n for n, p in model.named_parameters()}
    optimizer = runner.optim_wrapper.optimizer
    ddp = runner.model
    return dict(
        params={n: p.detach() for n, p in model.named_parameters()},
        optimizer={
            names[p]: {k: v for k, v in state.items() if torch.is_tensor(v)}
            for p, state in optimizer.state.items()
        },
        moved=[
            sorted(recorder.moved(i, i + 1)) for i in range(len(recorder.states) - 1)
        ],
        steps=runner.iter,
        settings=dict(
            type=type(ddp).__name__,
            broadcast_buffers=ddp.broadcast_buffers,
            find_unused_parameters=ddp.find_unused_parameters,
            gradient_as_bucket_view=ddp.gradient_as_bucket_view,
            bucket_bytes_cap=ddp.bucket_bytes_cap,
            detect_anomalous_params=ddp.detect_anomalous_params,
            comm_hooks=len(ddp._comm_hooks),
        ),
        ema=[
            n
            for hook in runner.hooks
            if type(hook).__name__ == 'EMAHook'
            for n, v in hook.ema_model.module.state_dict().items()
            if v.is_floating_point() and torch.equal(v, recorder.states[0][n])
        ],
    )


def main(out_dir: Path, only: list[str]) -> None:
    torch.set_num_threads(1)
    # Both ask for a GPU, which this machine need not have.
    torch.cuda.set_device = lambda device: None
    amp.is_cuda_available = lambda: True
    amp.GradScaler = functools.partial(torch.amp.GradScaler, 'cpu')
    for scope in ('mmdet', 'mmpretrain'):
        __import__(f'{scope}.models')
    for name in only or [*SCENARIOS, *OTHERS]:
        config = {**SCENARIOS, **OTHERS}[name]()
        job = same_modules_after_rewrapping if name == 'synchronized norms' else run
        try:
            result = job(config, out_dir / 'work')
        except Exception:
            result = dict(error=traceback.format_exc())
        rank = os.environ['RANK']
        torch.save(result, out_dir / f'{name}_{rank}.pth')
        if 'error' in result:
            print(name, result['error'])
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == '__main__':
    main(Path(sys.argv[1]), sys.argv[2:])
