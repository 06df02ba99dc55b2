# Without pretrained weights: what the others are held against.
_base_ = './_base_/retinanet_lite0_shapes.py'

model = dict(backbone=dict(init_cfg=None))
