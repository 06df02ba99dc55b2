"""Checking a config against only building its model with weights, as training does.

Both take turns in one process, after everything is imported::

    python benchmarks/check.py [CONFIG ...] [--turns 5]

The result is the ratio of the two, config by config; the milliseconds beside it are
this machine's. The last line is the largest memory of the process, before it builds.
"""

from __future__ import annotations

import argparse
import logging
import resource
import warnings

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from timing import alternate, machine, table

from plugin.check import check
from plugin.config.names import load_config
from plugin.measure.build import without_weights

CONFIGS = (
    'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
    'mmdet::dino/dino-5scale_swin-l_8xb2-36e_coco.py',
    'mmyolo::yolov8/yolov8_x_syncbn_fast_8xb16-500e_coco.py',
    'mmseg::upernet/upernet_r101_4xb4-160k_ade20k-512x512.py',
    'configs/seg/upernet_timm-efficientnetv2-s_4xb4-80k_ade20k-512x512.py',
)


def build(cfg: Config) -> None:
    """The model of ``cfg`` with random weights, as its constructor draws them."""
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        MODELS.build(without_weights(cfg.model))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('configs', nargs='*', default=CONFIGS)
    parser.add_argument('--turns', type=int, default=5)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter('ignore')

    for config in args.configs:
        check(config)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(machine(['mmengine', 'mmdet', 'mmsegmentation', 'mmyolo']))
    for config in args.configs:
        cfg = load_config(config)
        work = dict(
            check=lambda config=config: check(config), build=lambda cfg=cfg: build(cfg)
        )
        print(f'\n{config}\n\n{table(alternate(work, args.turns), "build")}')
    print(f'\n{memory:.2f} GiB at most while checking')


if __name__ == '__main__':
    main()
