# Learns the generated shapes from scratch on two CPU cores.
_base_ = './_base_/yolov5_s_shapes.py'
custom_imports = dict(imports=['plugin.yolo'], allow_failed_imports=False)

channels = [128, 256, 512]
model = dict(
    backbone=dict(
        _delete_=True,
        type='plugin.TIMMBackbone',
        model_name='resnet10t',
        out_indices=(2, 3, 4),
    ),
    # widen_factor multiplies the channels written here, so it must be 1.
    neck=dict(in_channels=channels, out_channels=channels, widen_factor=1.0),
    bbox_head=dict(head_module=dict(in_channels=channels, widen_factor=1.0)),
)
