_base_ = './_base_/yolov5_s_adamw.py'
custom_imports = dict(imports=['plugin.yolo'], allow_failed_imports=False)

checkpoint = 'https://github.com/SwinTransformer/storage/releases/download/v1.0.0/swin_tiny_patch4_window7_224.pth'  # noqa: E501
# widen_factor multiplies the channels that neck and head are given, so it must be 1.
channels = [192, 384, 768]

model = dict(
    # YOLOv5 feeds 0 to 1; these weights come from ImageNet's mean and std.
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    backbone=dict(
        _delete_=True,
        type='mmdet.SwinTransformer',
        embed_dims=96,
        depths=[2, 2, 6, 2],
        num_heads=[3, 6, 12, 24],
        window_size=7,
        drop_path_rate=0.2,
        out_indices=(1, 2, 3),
        # The file has Microsoft's names for the layers.
        convert_weights=True,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint),
    ),
    neck=dict(in_channels=channels, out_channels=channels, widen_factor=1.0),
    bbox_head=dict(head_module=dict(in_channels=channels, widen_factor=1.0)),
)
