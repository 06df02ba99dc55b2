_base_ = 'mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py'
custom_imports = dict(imports=['plugin.yolo'], allow_failed_imports=False)

# widen_factor multiplies the channels that neck and head are given, so it must be 1.
channels = [40, 112, 320]

model = dict(
    # YOLOv5 feeds 0 to 1; these weights come from ImageNet's mean and std.
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    backbone=dict(
        _delete_=True,
        type='plugin.TIMMBackbone',
        # The tag fixes the weights: what a bare 'efficientnet_b1' loads has changed, to
        # weights of another mean and std.
        model_name='efficientnet_b1.ft_in1k',
        pretrained=True,
        out_indices=(2, 3, 4),
    ),
    neck=dict(in_channels=channels, out_channels=channels, widen_factor=1.0),
    bbox_head=dict(head_module=dict(in_channels=channels, widen_factor=1.0)),
)
