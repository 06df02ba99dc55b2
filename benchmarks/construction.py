"""Constructing ``plugin.TIMMBackbone`` against timm's own model of the same maps.

Both draw random weights, and take turns in one process::

    python benchmarks/construction.py [MODEL ...] [--runs 9] [--threads 1]

The ratios are to timm. What a map depends on is found by a forward without memory, once
a process for each model and its arguments: ``first`` is that construction, in times of
timm's median. Peak memory is that of the tensors of one construction.
"""

from __future__ import annotations

import argparse
import logging
import statistics

import timm
import torch
from timing import CLOCKS, alternate, machine, peak_memory, table

from plugin.backbones.timm_backbone import TIMMBackbone

MODELS = (
    'resnet50',
    'convnext_tiny',
    'swin_tiny_patch4_window7_224',
    'vit_small_patch16_224',
    'vit_large_patch16_224',
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('models', nargs='*', default=MODELS)
    parser.add_argument('--runs', type=int, default=9, help='turns that count')
    parser.add_argument('--threads', type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    logging.disable(logging.WARNING)

    print(machine(['timm']))
    for name in args.models:
        ways = {
            'timm': lambda name=name: timm.create_model(name, features_only=True),
            'plugin': lambda name=name: TIMMBackbone(name),
        }
        ways['timm']()
        start = CLOCKS['cpu']()
        ways['plugin']()
        first = CLOCKS['cpu']() - start
        times = alternate(ways, args.runs)
        memory = {way: peak_memory(build) for way, build in ways.items()}
        print(f'\n{name}\n\n{table(times, "timm", memory)}')
        print(f'\nfirst: {first / statistics.median(times["timm"]):.1f}', flush=True)


if __name__ == '__main__':
    main()
