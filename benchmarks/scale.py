"""Training with several processes: measured for 1 and 2, estimated for GPUs.

Measured: RetinaNet of the shapes demo, mmengine's DistributedDataParallel over gloo, a
thread a process, wall time; the ways take turns::

    python benchmarks/scale.py [--runs 9] [--steps 5] [--size 128]

- 1 process: without DDP, while the other process waits.
- 2, each for itself: without DDP, at the same time. What it lacks to twice the first is
  what the processes take from each other on this machine.
- 2, DDP: the same with gradients averaged. What it lacks to the second is DDP's.

Estimated, on paper: no GPU was used. For each ready config, with ``n`` GPUs of ``b``
images each, ``M`` multiply-adds an image and ``P`` trained parameters::

    forward = 2 M b / (peak x share)      backward = 2 forward
    traffic = 2 (n - 1) / n x 4 P         bytes that each GPU sends in a step
    step    = forward + max(backward, traffic / bandwidth)

- ``peak``: NVIDIA A100, 312 TFLOPS with AMP, else 156 (TF32), dense (its data sheet).
- ``share`` of it that training reaches: 0.3, an assumption (``--share``).
- backward is twice the forward: a gradient for the input and one for the weights. Of
  frozen stages it is less, so what is said of these is an upper bound.
- traffic: ring all-reduce (Patarasuk and Yuan, 2009) of float32 gradients, which it is
  with AMP too. It goes on during backward (PyTorch DDP, arXiv:2006.15704).
- ``bandwidth``: 300 GB/s in one machine of 8 (NVLink, a direction; the data sheet); 200
  GB/s between machines with 8 links of 200 Gb/s (DGX A100); 12.5 GB/s with one of 100
  Gb/s. The ring crosses each border once, so a machine's GPUs share its links.

``M`` is at the size that papers count at; for segmentors at their crop of 512x512.
Efficiency is forward + backward over step. Data loading, the optimizer, what the GPUs
wait for each other, and latency are left out: the estimate says where gradients cost
time, not how long an epoch takes.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import statistics
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
import yaml
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData
from timing import alternate, machine, table
from torch import multiprocessing as mp

from plugin.measure.build import build_model

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / 'configs/det/retinanet_timm-resnet10t_fpn_1xb8-14e_shapes.py'
BATCH = 4
WAYS = ('1 process', '2, each for itself', '2, DDP')
A100_FLOPS = {'amp': 312e12, 'tf32': 156e12}
# Bytes a second: GPUs, and what connects them.
NETWORKS = {
    '8': (8, 300e9),
    '64': (64, 200e9),
    '512': (512, 200e9),
    '64, 100 Gb/s': (64, 12.5e9),
    '512, 100 Gb/s': (512, 12.5e9),
}


@dataclass(frozen=True)
class Load:
    """One training step of a config, in numbers.

    Attributes:
        macs: Multiply-adds of the forward of one image.
        trained: Parameters that get a gradient.
        batch: Images a GPU.
        amp: Whether the config trains with automatic mixed precision.
    """

    macs: int
    trained: int
    batch: int
    amp: bool

    def compute(self, share: float) -> tuple[float, float]:
        """Return the seconds of forward and backward on an A100."""
        peak = A100_FLOPS['amp' if self.amp else 'tf32']
        forward = 2 * self.macs * self.batch / (peak * share)
        return forward, 2 * forward

    def traffic(self, gpus: int) -> float:
        """Return the bytes that each of ``gpus`` sends in a step."""
        return 2 * (gpus - 1) / gpus * 4 * self.trained

    def step(self, gpus: int, bandwidth: float, share: float) -> float:
        """Return the seconds of a step of ``gpus``, with bytes a second."""
        forward, backward = self.compute(share)
        return forward + max(backward, self.traffic(gpus) / bandwidth)


def loads() -> Iterator[tuple[str, Load]]:
    """Yield name and load of each ready config that does not train on shapes."""
    for metafile in sorted(ROOT.glob('configs/*/metafile.yml')):
        for model in yaml.safe_load(metafile.read_text())['Models']:
            if model['Name'].endswith('_shapes'):
                continue
            cfg = Config.fromfile(str(ROOT / model['Config']))
            parameters = build_model(cfg).parameters()
            figures = model['Metadata']
            # Papers count segmentors at four times the crop that they train with.
            crop = 4 if figures['Paper Input Size'] == '512x2048' else 1
            yield (
                model['Name'],
                Load(
                    macs=figures['FLOPs At Paper Input Size'] // crop,
                    trained=sum(p.numel() for p in parameters if p.requires_grad),
                    batch=int(re.search(r'_\d+xb(\d+)[-_]', model['Name'])[1]),
                    amp=cfg.optim_wrapper.get('type') == 'AmpOptimWrapper',
                ),
            )


def estimate(share: float) -> str:
    """Return a Markdown table: gradient traffic, step time and efficiency."""
    head = ['config', 'gradients', *(f'{name} GPUs' for name in NETWORKS)]
    lines = [
        '| ' + ' | '.join(head) + ' |',
        '|---|---:' + '|---:' * len(NETWORKS) + '|',
    ]
    for name, load in loads():
        cells = [f'{4 * load.trained / 2**20:,.0f} MiB']
        for gpus, bandwidth in NETWORKS.values():
            step = load.step(gpus, bandwidth, share)
            cells.append(f'{1e3 * step:,.0f} ms, {sum(load.compute(share)) / step:.0%}')
        lines.append(f'| {name} | ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def training(size: int) -> tuple[torch.nn.Module, Callable[..., object]]:
    """Return the detector, and a function that trains what wraps it on one batch."""
    cfg = Config.fromfile(str(CONFIG))
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper)
    boxes = torch.tensor([[0.1, 0.1, 0.4, 0.5], [0.3, 0.4, 0.9, 0.8]]) * size
    truth = InstanceData(bboxes=boxes, labels=torch.tensor([0, 1]))
    meta = dict(img_shape=(size, size), scale_factor=(1, 1))
    data = dict(
        inputs=[torch.zeros(3, size, size, dtype=torch.uint8) for _ in range(BATCH)],
        data_samples=[
            DetDataSample(gt_instances=truth, metainfo=meta) for _ in range(BATCH)
        ],
    )
    return model.train(), lambda wrapped: wrapped.train_step(data, optimizer)


def worker(rank: int, args: argparse.Namespace, folder: str) -> None:
    """Train in each of the ways; rank 0 prints what it took."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    warnings.filterwarnings('ignore')
    store = dist.FileStore(os.path.join(folder, 'store'), 2)
    dist.init_process_group('gloo', store=store, rank=rank, world_size=2)
    model, step = training(args.size)
    parallel = MMDistributedDataParallel(model)

    def all_of(trained: torch.nn.Module, taking_part: bool) -> None:
        dist.barrier()
        for _ in range(args.steps if taking_part else 0):
            step(trained)
        dist.barrier()

    times = alternate(
        {
            WAYS[0]: lambda: all_of(model, rank == 0),
            WAYS[1]: lambda: all_of(model, True),
            WAYS[2]: lambda: all_of(parallel, True),
        },
        args.runs,
        'wall',
    )
    if rank == 0:
        print(table(times, WAYS[0]))
        print()
        for way, images in zip(WAYS, (1, 2, 2), strict=True):
            median = statistics.median(times[way])
            print(
                f'- {way}: {images * args.steps * BATCH / median:.1f} images a second'
            )
    dist.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--runs', type=int, default=9, help='turns that count')
    parser.add_argument('--steps', type=int, default=5, help='steps a turn')
    parser.add_argument('--size', type=int, default=128, help='pixels')
    parser.add_argument('--share', type=float, default=0.3, help='of the peak')
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.filterwarnings('ignore')
    print(machine(['mmengine', 'mmdet']))
    print(
        f'\nMeasured: {args.steps} steps of {BATCH} images of {args.size}x{args.size} '
        'a process\n',
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(worker, (args, folder), nprocs=2)
    print(
        f'\nEstimated: a step and its efficiency on A100s that reach {args.share:.0%} '
        'of their peak; 8 links of 200 Gb/s a machine where none is named\n'
    )
    print(estimate(args.share))


if __name__ == '__main__':
    main()
