"""A training step with frozen stages against one that knows nothing of what is frozen.

ConvNeXt-tiny with a 1x1 convolution on its last map and AdamW, on a batch of two
images, with ``frozen_stages`` from -1 (nothing) to 4 (all)::

    python benchmarks/frozen_stages.py [--size 224] [--runs 9] [--threads 1]
        [--device cpu]

- plugin: ``plugin.ConvNeXt(frozen_stages=n)`` and the layer-decay constructor, in whose
  groups frozen parameters stay, so that they can be unfrozen.
- ideal: the frozen part under ``torch.no_grad()``, and an optimizer that has never
  heard of its parameters: no graph, no gradients, no state.

The ratios are to ideal, and peak memory is that of one step. ``kept`` is what stays
between steps besides the weights: gradients and the state of the optimizer. The last
line of each table is what unfreezing all stages takes, as the hooks do it, in
steps.
"""

from __future__ import annotations

import argparse
import logging
import statistics
from collections.abc import Callable

import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper
from timing import CLOCKS, add_device, alternate, machine, peak_memory, table
from torch import Tensor, nn

import plugin.decay  # noqa: F401, registers the constructor
from plugin.backbones.convnext import ConvNeXt
from plugin.freezing.frozen_stages import StageFreezer


class Model(nn.Module):
    """A ConvNeXt with a head, whose loss is the mean of what the head gives."""

    def __init__(self, frozen_stages: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = ConvNeXt('tiny', out_indices=(3,), frozen_stages=frozen_stages)
        self.head = nn.Conv2d(768, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> the loss, a scalar."""
        return self.head(self.backbone(x)[0]).square().mean()


class Ideal(Model):
    """The same, cut in two where the frozen part ends."""

    def __init__(self, frozen_stages: int) -> None:
        super().__init__(-1)
        backbone = self.backbone
        parts = [
            part
            for pair in zip(backbone.downsample_layers, backbone.stages, strict=True)
            for part in pair
        ]
        parts.append(backbone.norm3)
        # The stem alone, then a stage with what leads to it; the norm ends the last.
        cut = (0, 1, 2, 4, 6, 9)[frozen_stages + 1]
        self.frozen = nn.Sequential(*parts[:cut]).requires_grad_(False)
        self.live = nn.Sequential(*parts[cut:])
        del self.backbone

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> the loss, a scalar."""
        with torch.no_grad():
            x = self.frozen(x)
        return self.head(self.live(x).contiguous()).square().mean()


def optimizer_of(model: Model) -> OptimWrapper:
    """Return AdamW: our constructor's, or one of the live parameters alone."""
    optimizer = dict(type='AdamW', lr=1e-4, weight_decay=0.05)
    if isinstance(model, Ideal):
        live = nn.ModuleList([model.live, model.head])
        return build_optim_wrapper(live, dict(optimizer=optimizer))
    constructor = dict(
        constructor='plugin.LayerDecayOptimWrapperConstructor',
        paramwise_cfg=dict(decay_rate=0.95),
    )
    return build_optim_wrapper(model, dict(optimizer=optimizer, **constructor))


def step_of(model: Model, optimizer: OptimWrapper, x: Tensor) -> Callable[[], None]:
    """Return a function that trains ``model`` on ``x`` once."""

    def step() -> None:
        model(x).backward()
        optimizer.optimizer.step()
        optimizer.optimizer.zero_grad()

    return step


def kept(model: Model, optimizer: OptimWrapper, x: Tensor) -> float:
    """Return the MiB of gradients and of the optimizer's state after a step."""
    model(x).backward()
    tensors = [p.grad for p in model.parameters() if p.grad is not None]
    for state in optimizer.optimizer.state.values():
        tensors += [value for value in state.values() if isinstance(value, Tensor)]
    optimizer.optimizer.zero_grad()
    return sum(tensor.nbytes for tensor in tensors) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--size', type=int, default=224)
    parser.add_argument('--runs', type=int, default=9, help='turns that count')
    parser.add_argument('--threads', type=int, default=1)
    add_device(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    logging.disable(logging.WARNING)
    x = torch.randn(2, 3, args.size, args.size).to(args.device)
    clock = CLOCKS[args.device]

    print(machine(['mmengine']))
    for stages in range(-1, 5):
        models = {
            way: model(stages).to(args.device).train()
            for way, model in dict(plugin=Model, ideal=Ideal).items()
        }
        optimizers = {way: optimizer_of(model) for way, model in models.items()}
        steps = {way: step_of(models[way], optimizers[way], x) for way in models}
        times = alternate(steps, args.runs, args.device)
        memory = {way: peak_memory(step, args.device) for way, step in steps.items()}
        stays = {way: kept(models[way], optimizers[way], x) for way in models}
        print(f'\nfrozen_stages={stages}\n\n{table(times, "ideal", memory)}\n')
        print(
            'kept: ' + ', '.join(f'{way} {mib:,.1f} MiB' for way, mib in stays.items())
        )
        freezer = StageFreezer(models['plugin'].backbone)
        nothing = freezer.at(freezer.nothing)
        start = clock()
        freezer.apply(nothing)
        took = clock() - start
        share = took / statistics.median(times['plugin'])
        print(f'\nunfreezing: {share:.4f} of a step', flush=True)


if __name__ == '__main__':
    main()
