"""mmcv's operators on mmcv-lite-ops against torchvision's, called directly.

Both compute the same on the same tensors. They take turns in one process::

    python benchmarks/operators.py [--runs 21] [--threads 1] [--only nms] [--device cpu]

Each ratio is the median of those of neighbouring turns; half of them lie between the
two values after it. A turn lasts for a hundredth of a second or one call, and its time
is that of the processor: other programs then count less, but more than one thread is
no faster. On a GPU it is wall time. The milliseconds are torchvision's on this machine.
"""

from __future__ import annotations

import argparse
import statistics
import warnings
from collections.abc import Callable, Iterator
from functools import partial

import mmcv._ext
import mmcv.ops
import torch
import torchvision
from timing import CLOCKS, add_device, alternate, machine
from torch import Tensor
from torch.nn.functional import one_hot

# Name, ours, torchvision's.
Pair = tuple[str, Callable[[], object], Callable[[], object]]


def repeated(
    function: Callable[[], object], now: Callable[[], float]
) -> tuple[Callable[[], None], int]:
    """Return what calls it for a hundredth of a second, or once, and how often."""
    function()
    start = now()
    function()
    calls = max(1, round(0.01 / max(now() - start, 1e-9)))

    def run() -> None:
        for _ in range(calls):
            function()

    return run, calls


def both_ways(
    name: str,
    ours: Callable[..., Tensor],
    theirs: Callable[..., Tensor],
    *inputs: Tensor,
) -> Iterator[Pair]:
    """The forward, and the forward with the gradients of all ``inputs``."""
    yield f'{name}, forward', partial(ours, *inputs), partial(theirs, *inputs)
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]

    def gradients(function: Callable[..., Tensor]) -> tuple[Tensor, ...]:
        output = function(*leaves)
        return torch.autograd.grad(output, leaves, torch.ones_like(output))

    yield f'{name}, with backward', partial(gradients, ours), partial(gradients, theirs)


def on_a_gpu() -> bool:
    """Say whether to compare larger sizes too; small ones only wait for launches."""
    return torch.get_default_device().type == 'cuda'


def boxes(count: int, height: int, width: int, side: float) -> Tensor:
    """(count, 4) boxes of up to ``side`` pixels, at least a quarter of it."""
    start = torch.rand(count, 2) * torch.tensor([width, height])
    return torch.cat([start, start + side * (0.25 + 0.75 * torch.rand(count, 2))], 1)


def roi_aligns() -> Iterator[Pair]:
    for count, height, width, ratio in (
        (16, 25, 42, 0),
        (128, 50, 84, 2),
        (256, 100, 168, 0),
        *([(1_000, 200, 336, 0)] if on_a_gpu() else []),
    ):
        image = torch.randint(2, (count, 1))
        rois = torch.cat([image, boxes(count, height - 20, width - 20, 20)], 1)
        args = (7, 1.0, ratio)
        yield from both_ways(
            f'roi_align of {count} regions, sampling_ratio {ratio}',
            lambda x, rois=rois, args=args: mmcv.ops.roi_align(x, rois, *args),
            lambda x, rois=rois, args=args: torchvision.ops.roi_align(
                x, rois, *args, aligned=True
            ),
            torch.randn(2, 256, height, width),
        )


def deform_convs() -> Iterator[Pair]:
    large = [(256, 100)] if on_a_gpu() else []
    for channels, size in ((32, 10), (64, 20), (128, 40), *large):
        x, bias = torch.randn(2, channels, size, size), torch.randn(channels)
        weight = torch.randn(channels, channels, 3, 3)
        offset, mask = torch.randn(2, 18, size, size), torch.rand(2, 9, size, size)
        what = f'of {channels} channels, {size}x{size}'
        yield from both_ways(
            f'deform_conv2d {what}',
            lambda x, o, w: mmcv.ops.deform_conv2d(x, o, w, 1, 1),
            lambda x, o, w: torchvision.ops.deform_conv2d(x, o, w, padding=1),
            *(x, offset, weight),
        )
        yield from both_ways(
            f'modulated_deform_conv2d {what}',
            lambda x, o, m, w, b: mmcv.ops.modulated_deform_conv2d(x, o, m, w, b, 1, 1),
            lambda x, o, m, w, b: torchvision.ops.deform_conv2d(
                x, o, w, b, padding=1, mask=m
            ),
            *(x, offset, mask, weight, bias),
        )


def focal_losses() -> Iterator[Pair]:
    for rows, classes in ((500, 80), (20_000, 80), (100_000, 20)):
        target = torch.randint(classes + 1, (rows,))
        # torchvision's wants the answers as numbers; they are made beforehand.
        answers = one_hot(target, classes + 1)[:, :-1].float()
        yield from both_ways(
            f'sigmoid_focal_loss of {rows:,} rows in {classes} classes',
            lambda x, target=target: mmcv.ops.sigmoid_focal_loss(
                x, target, 2.0, 0.25, None, 'sum'
            ),
            lambda x, answers=answers: torchvision.ops.sigmoid_focal_loss(
                x, answers, 0.25, 2.0, 'sum'
            ),
            torch.randn(rows, classes),
        )


def suppressions() -> Iterator[Pair]:
    for count in (100, 300, 1_000, 5_000, 10_000):
        args = (boxes(count, 800, 1333, 128), torch.rand(count))
        yield (
            f'nms of {count:,} boxes',
            partial(mmcv.ops.nms, *args, 0.5),
            partial(torchvision.ops.nms, *args, 0.5),
        )
        yield (
            f'nms of {count:,} boxes, without what mmcv does in Python around it',
            partial(mmcv._ext.nms, *args, 0.5, offset=0),
            partial(torchvision.ops.nms, *args, 0.5),
        )
    for count in (100, 300, 1_000, 5_000, 20_000):
        args = (boxes(count, 800, 1333, 128), torch.rand(count))
        labels = torch.randint(80, (count,))
        cfg = dict(type='nms', iou_threshold=0.5)
        yield (
            f'batched_nms of {count:,} boxes in 80 classes',
            partial(mmcv.ops.batched_nms, *args, labels, cfg),
            partial(torchvision.ops.batched_nms, *args, labels, 0.5),
        )
    # Of so many boxes mmcv calls the operator class by class.
    parts = [tuple(x[labels == i] for x in args) for i in range(80)]
    yield (
        f'nms in each of the 80 classes of {count:,} boxes, without the Python of mmcv',
        lambda: [mmcv._ext.nms(*part, 0.5, offset=0) for part in parts],
        partial(torchvision.ops.batched_nms, *args, labels, 0.5),
    )


def overlaps() -> Iterator[Pair]:
    for count, others in ((50, 10), (1_000, 1_000), (20_000, 30)):
        args = boxes(count, 800, 1333, 128), boxes(others, 800, 1333, 128)
        yield (
            f'bbox_overlaps of {count:,} and {others:,} boxes',
            partial(mmcv.ops.bbox_overlaps, *args),
            partial(torchvision.ops.box_iou, *args),
        )
    count, others = 50, 10
    args = boxes(count, 800, 1333, 128), boxes(others, 800, 1333, 128)
    buffer = torch.zeros(count, others)
    yield (
        f'bbox_overlaps of {count} and {others} boxes, without the Python of mmcv',
        partial(
            mmcv._ext.bbox_overlaps, *args, buffer, mode=0, aligned=False, offset=0
        ),
        partial(torchvision.ops.box_iou, *args),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--runs', type=int, default=21)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--only', default='', help='a part of the names')
    add_device(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    warnings.simplefilter('ignore')

    print(machine(['torchvision', 'mmcv-lite']))
    print('\n| operator | ratio | half of all | torchvision |')
    print('| --- | ---: | ---: | ---: |')
    for operators in (roi_aligns, deform_convs, focal_losses, suppressions, overlaps):
        # While it is set, each call passes through Python.
        with torch.device(args.device):
            pairs = list(operators())
        for name, ours, theirs in pairs:
            if args.only not in name:
                continue
            (ours, our_calls), (theirs, their_calls) = (
                repeated(function, CLOCKS[args.device]) for function in (ours, theirs)
            )
            times = alternate(dict(ours=ours, theirs=theirs), args.runs, args.device)
            ratios = [
                a / our_calls / (b / their_calls)
                for a, b in zip(*times.values(), strict=True)
            ]
            low, middle, high = statistics.quantiles(ratios, n=4)
            took = 1e3 * statistics.median(times['theirs']) / their_calls
            print(
                f'| {name} | {middle:.2f} | {low:.2f} to {high:.2f} | {took:.2f} ms |',
                flush=True,
            )


if __name__ == '__main__':
    main()
