"""Checking a config against only building its model with weights, as training does.

Both take turns in one process, after everything is imported, and the first turn of each
is left out::

    python benchmarks/check.py [CONFIG ...] [--turns 5]

The result is the ratio of the two medians, config by config; the milliseconds beside it
are this machine's. The last line is the largest memory of the process while it only
checked.
"""

from __future__ import annotations

import argparse
import logging
import resource
import statistics
import time
import warnings
from collections.abc import Callable

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope

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


def median_time(work: Callable[[], object], turns: int) -> float:
    """Seconds of the median turn, without the first."""
    times = []
    for _ in range(turns + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('configs', nargs='*', default=CONFIGS)
    parser.add_argument('--turns', type=int, default=5)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter('ignore')

    checks = {
        config: median_time(lambda config=config: check(config), args.turns)
        for config in args.configs
    }
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print('  check    build  ratio')
    for config, checked in checks.items():
        cfg = load_config(config)
        built = median_time(lambda cfg=cfg: build(cfg), args.turns)
        ratio = f'{checked / built:6.2f}'
        print(f'{1e3 * checked:4.0f} ms  {1e3 * built:4.0f} ms {ratio}  {config}')
    print(f'{memory:.2f} GiB at most while checking')


if __name__ == '__main__':
    main()
