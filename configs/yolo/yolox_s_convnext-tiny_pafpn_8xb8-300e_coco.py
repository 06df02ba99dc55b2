_base_ = 'mmyolo::yolox/yolox_s_fast_8xb8-300e_coco.py'
custom_imports = dict(imports=['plugin.yolo'], allow_failed_imports=False)

checkpoint = 'https://download.openmmlab.com/mmclassification/v0/convnext/downstream/convnext-tiny_3rdparty_32xb128-noema_in1k_20220301-795e9634.pth'  # noqa: E501
widen_factor = 1.0  # multiplies all channels written here
channels = 128  # of neck and head, as in the base: 256 x 0.5

model = dict(
    # YOLOX feeds BGR from 0 to 255; these weights come from normalized RGB.
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    backbone=dict(
        _delete_=True,
        type='plugin.ConvNeXt',
        arch='tiny',
        out_indices=(1, 2, 3),
        drop_path_rate=0.1,
        layer_scale_init_value=1.0,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    neck=dict(
        in_channels=[192, 384, 768], out_channels=channels, widen_factor=widen_factor
    ),
    bbox_head=dict(
        head_module=dict(
            in_channels=channels, feat_channels=channels, widen_factor=widen_factor
        )
    ),
)

# AdamW as ConvNeXt was trained with. The ConvNeXt detectors take 1e-4 at 16 images;
# by the square root for the 64 here.
base_lr = 1e-4 * (8 * 8 / 16) ** 0.5
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=base_lr, weight_decay=0.05),
    paramwise_cfg=dict(flat_decay_mult=0.0),
)
param_scheduler = _base_.param_scheduler
param_scheduler[1].eta_min = base_lr * 0.05

# mmengine 0.10.7 marks what comes from `mmyolo::` with its scope, and then calls this
# function with the mark as an argument.
train_dataloader = dict(collate_fn=dict(_delete_=True, type='yolov5_collate'))
