"""A training step: this package against upstream's config and against a bare loop.

RetinaNet, YOLOX, YOLOv5 and UPerNet with three backbones on a batch of two images of
512x512, the same in every step; the ways of training take turns in one process::

    python benchmarks/training_step.py [--quick] [--runs 9] [--threads 1]
        [--only retinanet/resnet-50 ...] [--device cpu]

- upstream: the detector's own config with the backbone class of mmdet or mmpretrain.
- plugin: the same with this package's class for the same backbone.
- bare loop: forward, losses, backward and optimizer step of plugin's modules.
- faster: plugin with ``custom_hooks=[dict(type='FasterTrainingHook')]``.

The ratios are to upstream. Peak memory is that of one step, without what stays: the
weights and the state of the optimizer.
"""

from __future__ import annotations

import argparse
import copy
import logging
import tempfile
import warnings
from collections.abc import Callable
from importlib import import_module

import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.hub import get_config
from mmengine.registry import DATASETS, LOOPS
from mmengine.runner import IterBasedTrainLoop, Runner
from mmengine.structures import InstanceData, PixelData
from mmseg.structures import SegDataSample
from timing import add_device, alternate, machine, peak_memory, table
from torch.utils.data import Dataset

DETECTORS = {
    'retinanet': 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
    'yolox': 'mmdet::yolox/yolox_s_8xb8-300e_coco.py',
    'yolov5': 'mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py',
    'upernet': 'mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py',
}
# Channels at strides 4 to 32, upstream's backbone and ours.
BACKBONES = {
    'convnext-tiny': (
        [96, 192, 384, 768],
        dict(
            type='mmpretrain.ConvNeXt',
            arch='tiny',
            out_indices=(0, 1, 2, 3),
            gap_before_final_norm=False,
        ),
        dict(type='plugin.ConvNeXt', arch='tiny', out_indices=(0, 1, 2, 3)),
    ),
    'mobilenetv3-small': (
        [16, 24, 48, 576],
        dict(type='mmpretrain.MobileNetV3', arch='small', out_indices=(1, 3, 8, 12)),
        dict(
            type='plugin.TIMMBackbone',
            model_name='mobilenetv3_small_100',
            out_indices=(1, 2, 3, 4),
        ),
    ),
    'resnet-50': (
        [256, 512, 1024, 2048],
        dict(type='mmdet.ResNet', depth=50, out_indices=(0, 1, 2, 3), norm_eval=False),
        dict(
            type='plugin.TIMMBackbone', model_name='resnet50', out_indices=(1, 2, 3, 4)
        ),
    ),
}
SIZE = 512


@DATASETS.register_module()
class TwoImages(Dataset):
    """Two images of noise with four boxes, or with a mask of four classes."""

    def __init__(self, size: int, masks: bool) -> None:
        self.size, self.masks = size, masks

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> dict:
        generator = torch.Generator().manual_seed(index)
        shape = (self.size, self.size)
        image = torch.randint(256, (3, *shape), dtype=torch.uint8, generator=generator)
        meta = dict(
            img_shape=shape, ori_shape=shape, pad_shape=shape, scale_factor=(1.0, 1.0)
        )
        if self.masks:
            mask = torch.randint(4, (1, *shape), generator=generator)
            sample = SegDataSample(metainfo=meta, gt_sem_seg=PixelData(data=mask))
        else:
            corner = torch.rand(4, 2, generator=generator) * self.size / 2
            boxes = torch.cat([corner, corner + self.size / 4], 1)
            instances = InstanceData(
                bboxes=HorizontalBoxes(boxes), labels=torch.arange(4)
            )
            sample = DetDataSample(metainfo=meta, gt_instances=instances)
        return dict(inputs=image, data_samples=sample)


@LOOPS.register_module()
class PausedLoop(IterBasedTrainLoop):
    """Gets ready to train, and leaves the iterations to who calls :meth:`step`."""

    def run(self) -> None:
        """Do what comes before the first iteration."""
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        self.batch = next(self.dataloader_iterator)

    def step(self) -> None:
        """Train one iteration, with all hooks."""
        self.run_iter(self.batch)


def training_config(detector: str, backbone: str, ours: bool, size: int) -> Config:
    """Return the detector's config with another backbone, on two images.

    Weights are random, the optimizer of ConvNeXt is AdamW, as it is trained, and what
    would differ from step to step or wants several processes is left out.
    """
    cfg = get_config(DETECTORS[detector])
    channels, *both = BACKBONES[backbone]
    model = cfg.model
    model.backbone = dict(both[ours])
    model.pop('pretrained', None)
    if detector == 'retinanet':
        model.neck.in_channels = channels
    elif detector == 'upernet':
        model.data_preprocessor.size = (size, size)
        model.decode_head.update(in_channels=channels, norm_cfg=dict(type='BN'))
        model.auxiliary_head.update(in_channels=channels[2], norm_cfg=dict(type='BN'))
    else:
        model.backbone['out_indices'] = both[ours]['out_indices'][1:]
        model.neck.in_channels = channels[1:]
        model.data_preprocessor.batch_augments = None
    if detector == 'yolov5':
        model.neck.update(out_channels=channels[1:], widen_factor=1.0)
        model.bbox_head.head_module.update(in_channels=channels[1:], widen_factor=1.0)
    if backbone.startswith('convnext'):
        cfg.optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-4))
    return Config(
        dict(
            model=model,
            optim_wrapper=cfg.optim_wrapper,
            default_scope=cfg.default_scope,
            train_cfg=dict(type='PausedLoop', max_iters=10**6),
            train_dataloader=dict(
                batch_size=2,
                num_workers=0,
                sampler=dict(type='DefaultSampler', shuffle=False),
                dataset=dict(type='TwoImages', size=size, masks=detector == 'upernet'),
                collate_fn=cfg.train_dataloader.get(
                    'collate_fn', dict(type='pseudo_collate')
                ),
            ),
            # Of the schedule and the hooks of 300 epochs nothing is left to measure.
            default_hooks=dict(checkpoint=None),
            log_level='ERROR',
        )
    )


def paused(cfg: Config, work_dir: str, name: str) -> Runner:
    """Return a runner that has done all that comes before the first iteration."""
    runner = Runner.from_cfg(Config(dict(cfg, work_dir=work_dir, experiment_name=name)))
    runner.train()
    return runner


def bare_step(runner: Runner) -> Callable[[], None]:
    """Return a function that trains one iteration of the runner's model without it."""
    model, optimizer = runner.model, runner.optim_wrapper.optimizer

    def step() -> None:
        data = model.data_preprocessor(runner.train_loop.batch, training=True)
        losses = model(**data, mode='loss')
        terms = (
            term
            for name, value in losses.items()
            if 'loss' in name
            for term in (value if isinstance(value, list) else [value])
        )
        loss = sum(term.mean() for term in terms)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def ways(detector: str, backbone: str, size: int, work_dir: str) -> dict[str, Callable]:
    """Return a function for each way to train one iteration."""
    upstream, plugin = (
        training_config(detector, backbone, ours, size) for ours in (False, True)
    )
    faster = copy.deepcopy(plugin)
    faster.custom_hooks = [dict(type='plugin.FasterTrainingHook')]
    runners = {
        name: paused(cfg, work_dir, f'{detector}_{backbone}_{name}')
        for name, cfg in dict(upstream=upstream, plugin=plugin, faster=faster).items()
    }
    steps = {name: runner.train_loop.step for name, runner in runners.items()}
    steps['bare loop'] = bare_step(runners['plugin'])
    return steps


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--quick', action='store_true', help='images of 128x128')
    parser.add_argument('--runs', type=int, default=9, help='turns that count')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--only', nargs='+', help='as detector/backbone')
    add_device(parser)
    args = parser.parse_args()
    if get_device() != args.device:
        # mmengine trains on a GPU wherever there is one.
        parser.error(f'--device {args.device}: mmengine would take {get_device()}')
    torch.set_num_threads(args.threads)
    logging.disable(logging.WARNING)
    warnings.simplefilter('ignore')
    for task in ('det', 'yolo', 'seg'):
        import_module(f'plugin.{task}')

    size = 128 if args.quick else 512
    print(machine(['timm', 'mmengine', 'mmdet', 'mmyolo', 'mmsegmentation']))
    names = [
        f'{detector}/{backbone}' for detector in DETECTORS for backbone in BACKBONES
    ]
    for name in args.only or names:
        with tempfile.TemporaryDirectory() as work_dir:
            steps = ways(*name.split('/'), size, work_dir)
            times = alternate(steps, args.runs, args.device)
            memory = {w: peak_memory(step, args.device) for w, step in steps.items()}
        print(f'\n{name}, 2x3x{size}x{size}\n')
        print(table(times, 'upstream', memory), flush=True)


if __name__ == '__main__':
    main()
