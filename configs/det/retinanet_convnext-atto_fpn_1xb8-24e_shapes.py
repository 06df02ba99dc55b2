# The demo: learns the generated shapes from scratch on two CPU cores.
_base_ = './_base_/retinanet_shapes.py'
custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        _delete_=True,
        type='plugin.ConvNeXt',
        arch='atto',
        out_indices=(1, 2, 3),
        # The 1e-6 of the paper is for 300 epochs; nothing would be learnt in 24.
        layer_scale_init_value=1.0,
    ),
    neck=dict(in_channels=[80, 160, 320]),
)
