_base_ = './_base_/yolov5_s_adamw.py'
custom_imports = dict(imports=['plugin.yolo'], allow_failed_imports=False)

checkpoint = 'https://download.openmmlab.com/mmclassification/v0/convnext/downstream/convnext-tiny_3rdparty_32xb128-noema_in1k_20220301-795e9634.pth'  # noqa: E501
# widen_factor multiplies the channels that neck and head are given, so it must be 1.
channels = [192, 384, 768]

model = dict(
    # YOLOv5 feeds 0 to 1; these weights come from ImageNet's mean and std.
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    backbone=dict(
        _delete_=True,
        type='plugin.ConvNeXt',
        arch='tiny',
        out_indices=(1, 2, 3),
        drop_path_rate=0.4,
        layer_scale_init_value=1.0,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    neck=dict(in_channels=channels, out_channels=channels, widen_factor=1.0),
    bbox_head=dict(head_module=dict(in_channels=channels, widen_factor=1.0)),
)
