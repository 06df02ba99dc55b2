"""Adapters on real pretrained weights, against the frozen backbone and all of it."""

from plugin.demo.comparison import Comparison, Training

CONFIG = 'configs/det/retinanet_timm-efficientnet-lite0_fpn_1xb8-finetune-{}_shapes.py'

COMPARISON = Comparison(
    title='RetinaNet, EfficientNet-Lite0 from ImageNet, 64 shapes images, 20 epochs',
    trainings=(
        Training('frozen', CONFIG.format('frozen-20e')),
        Training('LoRA, rank 8', CONFIG.format('lora-20e')),
        Training('all of it', CONFIG.format('20e')),
    ),
)
