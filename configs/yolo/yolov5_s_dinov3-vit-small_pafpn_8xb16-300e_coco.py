_base_ = './_base_/yolov5_s_adamw.py'
custom_imports = dict(imports=['plugin.yolo'], allow_failed_imports=False)

model = dict(
    # YOLOv5 feeds 0 to 1; these weights come from ImageNet's mean and std.
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    # A plain ViT has one stride, 16; the pyramid has the strides and the channels of
    # the base's own backbone, so that neck and head stay as they are.
    backbone=dict(
        _delete_=True,
        type='plugin.PyramidBackbone',
        backbone=dict(
            type='plugin.TIMMBackbone',
            model_name='vit_small_patch16_dinov3.lvd1689m',
            pretrained=True,
            out_indices=(11,),
        ),
        out_channels=[128, 256, 512],
        scales=(2, 1, 0.5),
    ),
)
