# From ImageNet weights, which stand still to the end; neck and head learn.
_base_ = './_base_/retinanet_lite0_shapes.py'

model = dict(
    backbone=dict(
        init_cfg={{_base_.lite0}},
        # The stem and all 5 stages.
        frozen_stages=5,  # plugin: ignore[freeze]
    )
)
