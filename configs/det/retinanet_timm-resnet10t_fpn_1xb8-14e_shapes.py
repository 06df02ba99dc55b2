# The demo: learns the generated shapes from scratch on two CPU cores. A small network
# with batch norm gets far in so few steps.
_base_ = './_base_/retinanet_shapes.py'
custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        _delete_=True,
        type='plugin.TIMMBackbone',
        model_name='resnet10t',
        out_indices=(2, 3, 4),
    ),
    neck=dict(in_channels=[128, 256, 512], norm_cfg=dict(type='BN')),
)
