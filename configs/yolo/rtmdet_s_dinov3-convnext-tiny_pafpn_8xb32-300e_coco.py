_base_ = 'mmyolo::rtmdet/rtmdet_s_syncbn_fast_8xb32-300e_coco.py'
custom_imports = dict(imports=['plugin.yolo'], allow_failed_imports=False)

model = dict(
    # RTMDet feeds BGR; these weights come from normalized RGB.
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    backbone=dict(
        _delete_=True,
        type='plugin.TIMMBackbone',
        model_name='convnext_tiny.dinov3_lvd1689m',
        pretrained=True,
        out_indices=(1, 2, 3),
        drop_path_rate=0.1,
    ),
    # widen_factor multiplies the channels that the neck is given, so it must be 1. The
    # head is given 128 as in the base: 256 x 0.5.
    neck=dict(in_channels=[192, 384, 768], out_channels=128, widen_factor=1.0),
)

# RTMDet's own rate is for a network from scratch. Detectors with a pretrained ConvNeXt
# take 1e-4 at 16 images; by the square root for the 256 here.
base_lr = 1e-4 * (8 * 32 / 16) ** 0.5
optim_wrapper = dict(optimizer=dict(lr=base_lr))
param_scheduler = _base_.param_scheduler
param_scheduler[1].eta_min = base_lr * 0.05

# mmengine 0.10.7 marks what comes from `mmyolo::` with its scope, and then calls this
# function with the mark as an argument.
train_dataloader = dict(collate_fn=dict(_delete_=True, type='yolov5_collate'))
