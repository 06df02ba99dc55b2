# From ImageNet weights, all of it trained.
_base_ = './_base_/retinanet_lite0_8e_shapes.py'

model = dict(backbone=dict(init_cfg={{_base_.lite0}}))
