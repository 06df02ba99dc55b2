# From ImageNet weights, all of it trained from the first iteration.
_base_ = './_base_/retinanet_lite0_shapes.py'

model = dict(backbone=dict(init_cfg={{_base_.lite0}}))
