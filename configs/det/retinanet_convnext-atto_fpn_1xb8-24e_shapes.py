# The demo: learns the generated shapes from scratch on two CPU cores.
_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py', './_base_/shapes.py']
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
    neck=dict(
        in_channels=[80, 160, 320],
        out_channels=128,
        start_level=0,
        num_outs=3,
    ),
    # Anchors of 24 to 152 pixels: the shapes are 16 to 100 wide.
    bbox_head=dict(
        num_classes=3,
        in_channels=128,
        feat_channels=128,
        stacked_convs=2,
        anchor_generator=dict(octave_base_scale=3, strides=[8, 16, 32]),
    ),
)
