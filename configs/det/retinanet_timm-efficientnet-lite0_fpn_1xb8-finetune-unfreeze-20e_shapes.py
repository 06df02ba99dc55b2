# From ImageNet weights, which stand still for 6 epochs while neck and head learn.
_base_ = './_base_/retinanet_lite0_shapes.py'

# The stem and all 5 stages.
model = dict(backbone=dict(init_cfg={{_base_.lite0}}, frozen_stages=5))
custom_hooks = [dict(type='UnfreezeBackboneEpochBasedHook', unfreeze_epoch=6)]
