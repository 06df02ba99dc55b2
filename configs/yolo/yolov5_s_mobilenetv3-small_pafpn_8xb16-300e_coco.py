_base_ = 'mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py'
custom_imports = dict(imports=['plugin.yolo'], allow_failed_imports=False)

checkpoint = 'https://download.openmmlab.com/mmclassification/v0/mobilenet_v3/convert/mobilenet_v3_small-8427ecf0.pth'  # noqa: E501
# widen_factor multiplies the channels that neck and head are given, so it must be 1.
channels = [24, 48, 96]

model = dict(
    # YOLOv5 feeds 0 to 1; these weights come from ImageNet's mean and std.
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    backbone=dict(
        _delete_=True,
        type='mmpretrain.MobileNetV3',
        arch='small',
        out_indices=(3, 8, 11),  # the last layers of strides 8, 16 and 32
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    neck=dict(in_channels=channels, out_channels=channels, widen_factor=1.0),
    bbox_head=dict(head_module=dict(in_channels=channels, widen_factor=1.0)),
)

# Its last layer, index 12, comes after the maps and is without a gradient: distributed
# training stops there unless it looks for such parameters.
find_unused_parameters = True
