"""The hooks in whole models of the libraries, with their own loops and constructors."""

from pathlib import Path

import pytest
from mmengine.config import Config
from toy_training import build_runner, recorder_of

from plugin.freezing.base_hook import BackboneFreezing


def shapes_config(base: Path, shapes: Path, work_dir: Path, **changes) -> Config:
    """A user's config on a base of this repository, on the data of the fixture."""
    file = work_dir / 'config.py'
    imports = f'plugin.{base.parents[1].name}'
    file.write_text(
        f'_base_ = {str(base)!r}\n'
        f'custom_imports = dict(imports=[{imports!r}], allow_failed_imports=False)\n'
    )
    config = Config.fromfile(file)
    root = f'{shapes}/'
    for loader in (config.train_dataloader, config.val_dataloader):
        loader.update(batch_size=4, num_workers=0, persistent_workers=False)
        loader.dataset.data_root = root
    if 'ann_file' in config.val_evaluator:
        config.val_evaluator.ann_file = root + 'annotations/instances_val.json'
    for key in ('test_dataloader', 'test_evaluator', 'test_cfg'):
        config.pop(key)
    config.merge_from_dict(changes)
    config.update(work_dir=str(work_dir), log_level='WARNING')
    return config


def moved_parts(runner) -> list[set[str]]:
    """Children of the backbone that changed, an interval of the recorder each."""
    recorder = recorder_of(runner)
    return [
        {name.split('.')[1] for name in recorder.moved(i, i + 1)}
        for i in range(len(recorder.states) - 1)
    ]


def assert_unfrozen_after_one_interval(runner, frozen: set[str]) -> None:
    first, *later = moved_parts(runner)
    backbone = runner.model.backbone
    children = {name for name, m in backbone.named_children() if [*m.parameters()]}
    assert first == children - frozen
    assert later == [children] * len(later) and later
    [hook] = [hook for hook in runner.hooks if isinstance(hook, BackboneFreezing)]
    assert backbone.frozen_stages == hook.freezer.nothing


@pytest.mark.slow
def test_retinanet_of_mmdet(repo_root, shapes, tmp_path, device):
    config = shapes_config(
        repo_root / 'configs/det/_base_/retinanet_shapes.py',
        shapes,
        tmp_path,
        train_cfg=dict(max_epochs=3, val_interval=1),
    )
    config.model.backbone = dict(
        type='ResNet',
        depth=18,
        base_channels=8,
        stem_channels=8,
        out_indices=(1, 2, 3),
        frozen_stages=1,
        norm_eval=False,
    )
    config.model.neck.in_channels = [16, 32, 64]
    config.custom_hooks = [
        dict(type='UnfreezeBackboneEpochBasedHook', unfreeze_epoch=1, warmup_iters=4),
        dict(type='Recorder'),
    ]
    runner = build_runner(config)
    runner.train()
    assert_unfrozen_after_one_interval(runner, {'conv1', 'bn1', 'layer1'})


@pytest.mark.slow
def test_upernet_of_mmseg_in_its_iteration_loop(repo_root, shapes, tmp_path, device):
    config = shapes_config(
        repo_root / 'configs/seg/_base_/upernet_shapes.py',
        shapes,
        tmp_path,
        train_cfg=dict(max_iters=9, val_interval=3),
    )
    config.param_scheduler = [dict(type='PolyLR', power=0.9, by_epoch=False, end=9)]
    config.model.data_preprocessor.size = (64, 80)
    config.model.backbone.update(
        depth=18,
        base_channels=8,
        stem_channels=8,
        frozen_stages=1,
        norm_cfg=dict(type='BN', requires_grad=True),
    )
    config.model.decode_head.update(in_channels=[8, 16, 32, 64], channels=16)
    config.model.auxiliary_head.update(in_channels=32, channels=16)
    config.custom_hooks = [
        dict(type='UnfreezeBackboneIterBasedHook', unfreeze_iter=3),
        dict(type='Recorder', interval=3),
    ]
    config.default_hooks.checkpoint.interval = 3
    runner = build_runner(config)
    runner.train()
    assert_unfrozen_after_one_interval(runner, {'stem', 'layer1'})


@pytest.mark.slow
def test_yolov5_of_mmyolo_with_its_own_schedule_and_average(
    repo_root, shapes, tmp_path, device
):
    config = shapes_config(
        repo_root / 'configs/yolo/_base_/yolov5_s_shapes.py',
        shapes,
        tmp_path,
        train_cfg=dict(max_epochs=3, val_interval=1),
    )
    narrow = dict(deepen_factor=0.33, widen_factor=0.125)
    config.model.backbone.update(frozen_stages=1, **narrow)
    config.model.neck.update(**narrow)
    config.model.bbox_head.head_module.widen_factor = 0.125
    # mmyolo's own constructor and schedule, in whose place the base has others.
    config.optim_wrapper = dict(
        type='OptimWrapper',
        optimizer=dict(type='SGD', lr=0.01, momentum=0.937, batch_size_per_gpu=4),
        constructor='YOLOv5OptimizerConstructor',
    )
    config.param_scheduler = None
    config.default_hooks.param_scheduler = dict(
        type='YOLOv5ParamSchedulerHook',
        scheduler_type='linear',
        lr_factor=0.01,
        max_epochs=3,
        # The warm-up starts from a rate of 0 for all but biases.
        warmup_epochs=1,
        warmup_mim_iter=1,
    )
    config.custom_hooks = [
        dict(type='UnfreezeBackboneEpochBasedHook', unfreeze_epoch=1),
        dict(
            type='EMAHook',
            ema_type='ExpMomentumEMA',
            momentum=0.0001,
            update_buffers=True,
            strict_load=False,
            priority=49,
        ),
        dict(type='Recorder'),
    ]
    runner = build_runner(config)
    runner.train()
    assert_unfrozen_after_one_interval(runner, {'stem', 'stage1'})
