"""An AdamW step on ConvNeXt-tiny: layer decay against one group and upstream's.

mmengine's own constructor makes one group a parameter, as soon as there is a
``paramwise_cfg``. An optimizer works group by group, so torch's foreach and fused
kernels then see lists of one tensor. Ours makes a group for each pair of learning rate
and weight decay, and mmdet's, which knows ConvNeXt alone, one for each layer and decay.
All take turns on copies of the same model, with the same gradients::

    python benchmarks/optimizer_groups.py [--steps 30] [--threads 1] [--device cpu]

There is a table for each of torch's implementations, loop, foreach and fused; the
ratios are to one group. torch takes the loop on the CPU and foreach on a GPU when
nothing is said.
"""

from __future__ import annotations

import argparse

import mmdet.engine  # noqa: F401, registers mmdet's constructor
import torch
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, build_optim_wrapper
from timing import add_device, alternate, machine, table
from torch import nn

from plugin.backbones.convnext import ConvNeXt

CONSTRUCTORS = {
    'one group': dict(),
    'plugin': dict(
        constructor='plugin.LayerDecayOptimWrapperConstructor',
        paramwise_cfg=dict(decay_rate=0.95),
    ),
    'mmdet': dict(
        constructor='mmdet.LearningRateDecayOptimizerConstructor',
        paramwise_cfg=dict(decay_rate=0.95, decay_type='layer_wise', num_layers=6),
    ),
    'mmengine': dict(
        constructor='DefaultOptimWrapperConstructor',
        paramwise_cfg=dict(norm_decay_mult=0.0),
    ),
}
IMPLEMENTATIONS = {
    'loop': dict(foreach=False),
    'foreach': dict(foreach=True),
    'fused': dict(fused=True),
}


def build(constructor: dict, implementation: dict, device: str) -> OptimWrapper:
    """An optimizer for a new ConvNeXt-tiny whose parameters have gradients."""
    torch.manual_seed(0)
    model = nn.ModuleDict(dict(backbone=ConvNeXt('tiny'))).to(device)
    for param in model.parameters():
        param.grad = torch.randn_like(param)
    optimizer = dict(type='AdamW', lr=1e-4, weight_decay=0.05, **implementation)
    return build_optim_wrapper(model, dict(optimizer=optimizer, **constructor))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--steps', type=int, default=30)
    parser.add_argument('--threads', type=int, default=1)
    add_device(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    MMLogger.get_instance('benchmark', log_level='ERROR')

    print(machine(['mmengine', 'mmdet']))
    for title, implementation in IMPLEMENTATIONS.items():
        steps = {}
        for name, constructor in CONSTRUCTORS.items():
            wrapper = build(constructor, implementation, args.device)
            groups = len(wrapper.optimizer.param_groups)
            steps[f'{name} ({groups})'] = wrapper.optimizer.step
        # The first steps allocate the optimizer's state.
        times = alternate(steps, args.steps, args.device, warmup=3)
        print(f'\nAdamW, {title} (number of groups)\n')
        print(table(times, next(iter(times))))


if __name__ == '__main__':
    main()
