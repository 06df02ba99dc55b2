# From ImageNet weights, which stand still for 2 epochs. Then each block learns more
# slowly than the one behind it, at rates that rise over 3 epochs.
_base_ = './_base_/retinanet_lite0_shapes.py'

# The stem and all 5 stages.
model = dict(backbone=dict(init_cfg={{_base_.lite0}}, frozen_stages=5))
custom_hooks = [
    dict(
        type='UnfreezeBackboneEpochBasedHook',
        unfreeze_epoch=2,
        # 8 iterations an epoch.
        warmup_iters=24,
        warmup_ratio=0.1,
    )
]
optim_wrapper = dict(
    constructor='LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(_delete_=True, decay_rate=0.8, decay_type='layer_wise'),
)
