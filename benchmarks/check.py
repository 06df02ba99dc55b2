"""Checking a config against only building its model with weights, as training does.

Both take turns in one process, after everything is imported::

    python benchmarks/check.py [CONFIG ...] [--turns 5]
    python benchmarks/check.py --step [CONFIG ...]

The result is the ratio of the two, config by config; the milliseconds beside it are
this machine's. The last line is the largest memory of the process, before it builds.

With ``--step`` it is ``check --step`` alone, once for each config: the CPU seconds
after the imports, all threads together, and the largest memory of the process up to
then, which one config in a process has to itself.
"""

from __future__ import annotations

import argparse
import logging
import resource
import time
import warnings
from collections.abc import Sequence

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from timing import alternate, machine, table

from plugin.check import check, examine
from plugin.config.names import load_config
from plugin.measure.build import without_weights

CONFIGS = (
    'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
    'mmdet::dino/dino-5scale_swin-l_8xb2-36e_coco.py',
    'mmyolo::yolov8/yolov8_x_syncbn_fast_8xb16-500e_coco.py',
    'mmseg::upernet/upernet_r101_4xb4-160k_ade20k-512x512.py',
    'configs/seg/upernet_timm-efficientnetv2-s_4xb4-80k_ade20k-512x512.py',
)

WITH_STEP = (
    'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
    'mmdet::swin/mask-rcnn_swin-t-p4-w7_fpn_1x_coco.py',
    'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
    'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py',
)


def build(cfg: Config) -> None:
    """The model of ``cfg`` with random weights, as its constructor draws them."""
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        MODELS.build(without_weights(cfg.model))


def largest_memory() -> float:
    """GiB that the process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def with_step(configs: Sequence[str]) -> None:
    """Print what a training step of each config takes."""
    for config in configs:
        check(config)  # Imports what it names.
        begin = time.process_time()
        report = examine(config, step=True)
        seconds = time.process_time() - begin
        reported = [p.key for p in report.problems] + report.not_judged
        print(
            f'{config}: {seconds:.1f} s of CPU, {largest_memory():.1f} GiB', *reported
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('configs', nargs='*')
    parser.add_argument('--step', action='store_true', help='time check --step')
    parser.add_argument('--turns', type=int, default=5)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter('ignore')

    if args.step:
        with_step(args.configs or WITH_STEP)
        return
    configs = args.configs or CONFIGS
    for config in configs:
        check(config)
    memory = largest_memory()
    print(machine(['mmengine', 'mmdet', 'mmsegmentation', 'mmyolo']))
    for config in configs:
        cfg = load_config(config)
        work = dict(
            check=lambda config=config: check(config), build=lambda cfg=cfg: build(cfg)
        )
        print(f'\n{config}\n\n{table(alternate(work, args.turns), "build")}')
    print(f'\n{memory:.2f} GiB at most while checking')


if __name__ == '__main__':
    main()
