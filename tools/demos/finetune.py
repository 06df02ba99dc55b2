"""Fine-tuning on 64 images: real pretrained weights, and ways to train from them."""

from plugin.demo.comparison import Comparison, Training

CONFIG = 'configs/det/retinanet_timm-efficientnet-lite0_fpn_1xb8-{}_shapes.py'

COMPARISON = Comparison(
    title='RetinaNet, EfficientNet-Lite0, 64 shapes images',
    trainings=(
        Training('from scratch', CONFIG.format('scratch-20e')),
        Training('pretrained', CONFIG.format('finetune-20e')),
        Training('frozen, then unfrozen', CONFIG.format('finetune-unfreeze-20e')),
        Training('layer decay and ramp', CONFIG.format('finetune-unfreeze-decay-20e')),
    ),
)
