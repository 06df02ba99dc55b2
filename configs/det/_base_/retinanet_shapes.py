# RetinaNet on the generated shapes, narrow enough for a CPU; the backbone gives maps of
# strides 8, 16 and 32.
_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py', './shapes.py']

channels = 128
model = dict(
    neck=dict(out_channels=channels, start_level=0, num_outs=3),
    # Anchors of 24 to 152 pixels: the shapes are 10 to 80 wide.
    bbox_head=dict(
        num_classes=3,
        in_channels=channels,
        feat_channels=channels,
        stacked_convs=2,
        anchor_generator=dict(octave_base_scale=3, strides=[8, 16, 32]),
    ),
)
