"""An AdamW step on ConvNeXt-tiny: one group a parameter against one a layer.

mmengine's own constructor makes one group a parameter, as soon as there is a
``paramwise_cfg``. An optimizer works group by group, so torch's foreach and fused
kernels then see lists of one tensor. Ours makes a group for each pair of learning rate
and weight decay. Both take turns on copies of the same model, with the same gradients::

    python benchmarks/optimizer_groups.py [--steps 30] [--threads 2] [--device cpu]

The result is the ratio of the two medians; the milliseconds beside it are this
machine's.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import nn

from plugin.backbones.convnext import ConvNeXt

CONSTRUCTORS = {
    'mmengine, one group a parameter': dict(
        constructor='DefaultOptimWrapperConstructor',
        paramwise_cfg=dict(norm_decay_mult=0.0),
    ),
    'layer decay, one a rate and decay': dict(
        constructor='plugin.LayerDecayOptimWrapperConstructor',
        paramwise_cfg=dict(decay_rate=0.95),
    ),
}


def build(constructor: dict, device: str) -> OptimWrapper:
    """An optimizer for a new ConvNeXt-tiny whose parameters have gradients."""
    torch.manual_seed(0)
    model = nn.ModuleDict(dict(backbone=ConvNeXt('tiny'))).to(device)
    for param in model.parameters():
        param.grad = torch.randn_like(param)
    optimizer = dict(type='AdamW', lr=1e-4, weight_decay=0.05)
    return build_optim_wrapper(model, dict(optimizer=optimizer, **constructor))


def step_time(wrapper: OptimWrapper) -> float:
    """Seconds of one step."""
    synchronize = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    synchronize()
    start = time.perf_counter()
    wrapper.optimizer.step()
    synchronize()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--steps', type=int, default=30)
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--device', default='cpu')
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    MMLogger.get_instance('benchmark', log_level='ERROR')

    wrappers = {name: build(cfg, args.device) for name, cfg in CONSTRUCTORS.items()}
    times = {name: [] for name in wrappers}
    for number in range(args.steps + 3):
        for name, wrapper in wrappers.items():
            seconds = step_time(wrapper)
            # The first steps allocate the optimizer's state.
            if number >= 3:
                times[name].append(seconds)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, wrapper in wrappers.items():
        groups = len(wrapper.optimizer.param_groups)
        print(f'{name:34} {groups:4} groups  {1e3 * medians[name]:7.1f} ms')
    single, ours = medians.values()
    print(f'ratio {ours / single:.2f}: {args.steps} steps, {args.threads} threads')


if __name__ == '__main__':
    main()
