"""The job of each of two gloo processes for ``test_faster_training_ddp``.

``python faster_ddp_job.py OUT`` trains every scenario for 8 steps and writes
``OUT/{scenario}_{rank}.pth``: the weights, and the layout of one convolution.
"""

import sys
from pathlib import Path

import torch
from toy_training import bare, build_runner, toy_config

CONVNEXT = dict(
    type='plugin.ConvNeXt',
    arch=dict(depths=[1, 1, 2, 1], channels=[8, 16, 24, 32]),
    layer_scale_init_value=1.0,
)
FASTER = dict(type='plugin.FasterTrainingHook', bfloat16=False)
SCENARIOS = {
    'plain': dict(hooks=[]),
    'faster': dict(hooks=[FASTER]),
    # Each gradient is a view of a bucket, with the strides that DDP gave it.
    'bucket views': dict(hooks=[FASTER], gradient_as_bucket_view=True),
    'in bfloat16': dict(hooks=[dict(FASTER, bfloat16=True)]),
}


def run(out: Path, name: str, hooks: list[dict], **wrapper) -> dict:
    config = toy_config(CONVNEXT, 'mmdet', out / name, hooks, 2, size=64)
    config.train_dataloader.dataset.length = 16
    config.default_hooks.checkpoint = None
    config.launcher = 'pytorch'
    config.env_cfg = dict(dist_cfg=dict(backend='gloo', timeout=60))
    config.model_wrapper_cfg = dict(
        dict(type='MMDistributedDataParallel', device_ids=None), **wrapper
    )
    runner = build_runner(config)
    runner.train()
    model = bare(runner)
    weight = model.backbone.downsample_layers[1][1].weight
    return dict(
        steps=runner.iter,
        params={n: p.detach().contiguous() for n, p in model.named_parameters()},
        channels_last=weight.is_contiguous(memory_format=torch.channels_last),
        gradient_like_weight=weight.grad is None
        or weight.grad.stride() == weight.stride(),
    )


def main() -> None:
    out = Path(sys.argv[1])
    # mmengine asks for a GPU, which this machine need not have.
    torch.cuda.set_device = lambda device: None
    # autocast works on every processor; it is only slow on some.
    torch.cpu._is_avx512_bf16_supported = lambda: True
    for name, scenario in SCENARIOS.items():
        result = run(out, name, **scenario)
        torch.save(result, out / f'{name}_{torch.distributed.get_rank()}.pth')
    torch.distributed.destroy_process_group()


if __name__ == '__main__':
    main()
