_base_ = 'mmyolo::yolov8/yolov8_s_syncbn_fast_8xb16-500e_coco.py'
custom_imports = dict(imports=['plugin.yolo'], allow_failed_imports=False)

checkpoint = 'https://download.openmmlab.com/mmclassification/v0/convnext/downstream/convnext-tiny_3rdparty_32xb128-noema_in1k_20220301-795e9634.pth'  # noqa: E501
# widen_factor multiplies the channels that neck and head are given, so it must be 1.
channels = [192, 384, 768]

model = dict(
    # The base feeds 0 to 1; these weights come from ImageNet's mean and std.
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    backbone=dict(
        _delete_=True,
        type='plugin.ConvNeXt',
        arch='tiny',
        out_indices=(1, 2, 3),
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    neck=dict(in_channels=channels, out_channels=channels, widen_factor=1.0),
    bbox_head=dict(head_module=dict(in_channels=channels, widen_factor=1.0)),
)

# YOLOv5OptimizerConstructor would leave out gamma. AdamW, as backbones with layer norms
# are trained: 1e-4 at 16 images, by the square root for 128.
base_lr = 1e-4 * (128 / 16) ** 0.5
optim_wrapper = dict(
    constructor='DefaultOptimWrapperConstructor',
    optimizer=dict(_delete_=True, type='AdamW', lr=base_lr, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
)
# YOLOv5ParamSchedulerHook takes the third group for the biases.
default_hooks = dict(param_scheduler=dict(_delete_=True, type='ParamSchedulerHook'))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(type='CosineAnnealingLR', eta_min_ratio=0.01, convert_to_iter_based=True),
]

# mmengine 0.10.7 marks what comes from `mmyolo::` with its scope, and then calls this
# function with the mark as an argument.
train_dataloader = dict(collate_fn=dict(_delete_=True, type='yolov5_collate'))
