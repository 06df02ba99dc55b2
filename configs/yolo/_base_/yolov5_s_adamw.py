# mmyolo's YOLOv5-s with AdamW, for ConvNeXt and Swin.
#
# mmyolo 0.6.0 collects what YOLOv5 trains by the names `weight` and `bias`
# (engine/optimizers/yolov5_optim_constructor.py). The layer scale of a ConvNeXt and the
# position biases of a Swin have other names: they would stay as they are, unnoticed.
_base_ = 'mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py'

# Detectors with these backbones take 1e-4 at 16 images; by the square root for 128.
base_lr = 1e-4 * (8 * 16 / 16) ** 0.5
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=base_lr, weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
        custom_keys=dict(relative_position_bias_table=dict(decay_mult=0.0)),
    ),
)

# YOLOv5's own hook warms up the third parameter group as if it were the biases.
default_hooks = dict(param_scheduler=dict(_delete_=True, type='ParamSchedulerHook'))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=1000),
    dict(
        type='CosineAnnealingLR',
        eta_min=base_lr * 0.01,
        T_max=_base_.max_epochs,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
