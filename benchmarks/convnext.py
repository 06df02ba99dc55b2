"""Our ConvNeXt against those of timm, torchvision and mmpretrain.

Forward and backward of a batch of 2 in training mode, with maps of all four stages and
random weights; all four take turns in one process::

    python benchmarks/convnext.py [--quick] [--runs 9] [--threads 1] [--device cpu]

The ratios are to the fastest of the other three. With ``with_cp`` the blocks are
recomputed in the backward pass; only mmpretrain does the same, block by block. Peak
memory is that of the activations and gradients.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from dataclasses import dataclass

import timm
import torch
import torchvision
from mmpretrain.models.backbones import ConvNeXt as MMPretrainConvNeXt
from timing import add_device, alternate, fastest, machine, peak_memory, table
from torch import Tensor, nn

from plugin.backbones.convnext import ConvNeXt


@dataclass(frozen=True)
class Case:
    """One row of comparisons: a ConvNeXt on a batch of 2 square images."""

    arch: str
    size: int
    dtype: torch.dtype = torch.float32
    with_cp: bool = False

    def __str__(self) -> str:
        name = f'{self.arch}, 2x3x{self.size}x{self.size}, {self.dtype}'
        return name.replace('torch.', '') + (', with_cp' if self.with_cp else '')


CASES = [
    Case(arch, size, dtype, with_cp)
    for arch, size in (('tiny', 224), ('tiny', 640), ('base', 224))
    for dtype in (torch.float32, torch.bfloat16)
    for with_cp in (False, True)
]
QUICK = [Case('tiny', 64), Case('tiny', 64, with_cp=True)]


class TorchvisionConvNeXt(nn.Module):
    """torchvision's, which is a classifier, as a backbone of four maps."""

    def __init__(self, arch: str) -> None:
        super().__init__()
        self.features = getattr(torchvision.models, f'convnext_{arch}')().features

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """(N, 3, H, W) -> tuple of (N, C_i, H/s_i, W/s_i), shallow first."""
        maps = []
        for downsample, stage in zip(
            self.features[::2], self.features[1::2], strict=True
        ):
            x = stage(downsample(x))
            maps.append(x)
        return tuple(maps)


def models(case: Case) -> dict[str, nn.Module]:
    """Return the four ConvNeXts of a case, or the two that can recompute blocks."""
    kwargs = dict(arch=case.arch, with_cp=case.with_cp)
    built = {
        'ours': ConvNeXt(**kwargs),
        'mmpretrain': MMPretrainConvNeXt(
            out_indices=[0, 1, 2, 3], gap_before_final_norm=False, **kwargs
        ),
    }
    if not case.with_cp:
        built['timm'] = timm.create_model(f'convnext_{case.arch}', features_only=True)
        if hasattr(torchvision.models, f'convnext_{case.arch}'):
            built['torchvision'] = TorchvisionConvNeXt(case.arch)
    return built


def step(model: nn.Module, x: Tensor) -> Callable[[], None]:
    """Return a function that runs ``model`` forward and backward on ``x`` once."""

    def run() -> None:
        maps = model(x)
        torch.autograd.backward(maps, [torch.ones_like(m) for m in maps])
        model.zero_grad(set_to_none=True)

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--quick', action='store_true', help='tiny at 64x64 only')
    parser.add_argument('--runs', type=int, default=9, help='turns that count')
    parser.add_argument('--threads', type=int, default=1)
    add_device(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    logging.disable(logging.WARNING)

    print(machine(['torchvision', 'timm', 'mmpretrain']))
    for case in QUICK if args.quick else CASES:
        # A backbone of mmengine returns None from `train`.
        steps = {}
        x = torch.randn(2, 3, case.size, case.size).to(args.device, case.dtype)
        for name, model in models(case).items():
            model.to(args.device, case.dtype).train()
            steps[name] = step(model, x)
        times = alternate(steps, args.runs, args.device)
        memory = {name: peak_memory(run, args.device) for name, run in steps.items()}
        reference = fastest(times, [name for name in steps if name != 'ours'])
        print(f'\n{case}\n\n{table(times, reference, memory)}', flush=True)


if __name__ == '__main__':
    main()
