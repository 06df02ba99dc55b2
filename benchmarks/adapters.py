"""Training all of a backbone, none of it, or adapters in it, beside each other.

RetinaNet with a ViT-S behind a pyramid and with a ConvNeXt-T behind an FPN, random
weights, AdamW; the three ways take turns in one process, one training step each::

    python benchmarks/adapters.py [--quick] [--runs 5] [--threads 1] [--device cpu]

Trained parameters are those of the whole detector. Optimizer memory is what AdamW keeps
of them, peak memory what a step holds beside weights and optimizer: activations and
gradients. The ratios of time are to training all of it.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable

import torch
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.hub import get_config
from mmengine.registry import MODELS
from mmengine.structures import InstanceData
from timing import add_device, alternate, machine, peak_memory, table
from torch import nn

BASE = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
VIT_NECK = dict(
    type='plugin.SimpleFeaturePyramid',
    in_channels=[384],
    out_channels=256,
    scales=(2, 1, 0.5),
    extra_maps=2,
)
CONVNEXT_NECK = dict(
    type='FPN',
    in_channels=[192, 384, 768],
    out_channels=256,
    add_extra_convs='on_input',
    num_outs=5,
)
# Name: model of timm, out_indices, stages, layers with adapters, neck.
BACKBONES = {
    'ViT-S': ('vit_small_patch16_224', (11,), 12, ['qkv', 'proj'], VIT_NECK),
    'ConvNeXt-T': ('convnext_tiny', (1, 2, 3), 4, ['fc1', 'fc2'], CONVNEXT_NECK),
}
WAYS = ('all of it', 'frozen', 'LoRA, rank 8')


def detector(name: str, way: str) -> nn.Module:
    """Return RetinaNet with a backbone that is trained in one of the ways."""
    model, out_indices, stages, targets, neck = BACKBONES[name]
    backbone = dict(
        type='plugin.TIMMBackbone', model_name=model, out_indices=out_indices
    )
    if way == 'frozen':
        backbone['frozen_stages'] = stages
    elif way != 'all of it':
        peft_config = dict(peft_type='LORA', r=8, target_modules=targets)
        backbone = dict(
            type='plugin.PEFTBackbone', backbone=backbone, peft_config=peft_config
        )
    cfg = get_config(BASE).model
    cfg.backbone, cfg.neck = backbone, neck
    return MODELS.build(cfg)


def training_step(model: nn.Module, size: int, device: str) -> Callable[[], None]:
    """Return a function that makes one step of AdamW on an image with two boxes."""
    optimizer = torch.optim.AdamW(p for p in model.parameters() if p.requires_grad)
    model.optimizer = optimizer
    image = torch.rand(1, 3, size, size, device=device)
    boxes = torch.tensor([[0.1, 0.1, 0.4, 0.5], [0.3, 0.4, 0.9, 0.8]]) * size
    truth = InstanceData(bboxes=boxes, labels=torch.tensor([3, 7])).to(device)
    sample = DetDataSample(
        gt_instances=truth,
        metainfo=dict(
            img_shape=(size, size),
            pad_shape=(size, size),
            batch_input_shape=(size, size),
            scale_factor=(1, 1),
        ),
    )

    def run() -> None:
        losses = model(image, [sample], mode='loss')
        sum(
            part
            for loss in losses.values()
            for part in (loss if isinstance(loss, list) else [loss])
        ).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return run


def facts(models: dict[str, nn.Module]) -> str:
    """Return a Markdown table of what is trained, and what AdamW keeps of it."""
    lines = [
        '| | trained parameters | of the backbone | optimizer memory |',
        '|---|---:|---:|---:|',
    ]
    for way, model in models.items():
        count, of_backbone = (
            sum(p.numel() for p in module.parameters() if p.requires_grad)
            for module in (model, model.backbone)
        )
        kept = sum(
            t.numel() * t.element_size()
            for state in model.optimizer.state.values()
            for t in state.values()
        )
        lines.append(
            f'| {way} | {count / 1e6:.2f} M | {of_backbone / 1e6:.2f} M '
            f'| {kept / 2**20:,.0f} MiB |'
        )
    return '\n'.join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--quick', action='store_true', help='images of 128 pixels')
    parser.add_argument('--runs', type=int, default=5, help='turns that count')
    parser.add_argument('--threads', type=int, default=1)
    add_device(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    logging.disable(logging.WARNING)
    register_all_modules()
    size = 128 if args.quick else 512

    print(machine(['timm', 'peft', 'mmdet']))
    for name in BACKBONES:
        models = {way: detector(name, way).to(args.device).train() for way in WAYS}
        steps = {w: training_step(m, size, args.device) for w, m in models.items()}
        times = alternate(steps, args.runs, args.device)
        memory = {way: peak_memory(run, args.device) for way, run in steps.items()}
        print(f'\nRetinaNet, {name}, an image of {size}x{size}\n')
        print(facts(models))
        print(f'\n{table(times, WAYS[0], memory)}', flush=True)


if __name__ == '__main__':
    main()
