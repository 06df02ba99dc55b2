# mmyolo's YOLOv5-s on the generated shapes data set (`python -m plugin shapes
# data/shapes`), scaled to 160x160, with a schedule for it.
_base_ = 'mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py'

data_root = 'data/shapes/'
metainfo = dict(classes=('circle', 'square', 'triangle'))
num_classes = 3
img_scale = (160, 160)  # width, height

# Scaled from the base's, which were found for COCO at 640 pixels.
model = dict(
    bbox_head=dict(
        head_module=dict(num_classes=num_classes),
        prior_generator=dict(
            base_sizes=[
                [(16, 18), (22, 22), (26, 28)],  # P3/8
                [(33, 32), (40, 40), (48, 46)],  # P4/16
                [(56, 56), (66, 64), (84, 84)],  # P5/32
            ]
        ),
        loss_cls=dict(loss_weight=_base_.loss_cls_weight * num_classes / 80),
    ),
    test_cfg=dict(nms_pre=1000, max_per_img=100),
)

# No Mosaic: it pays in hundreds of epochs.
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='YOLOv5KeepRatioResize', scale=img_scale),
    dict(
        type='LetterResize',
        scale=img_scale,
        allow_scale_up=False,
        pad_val=dict(img=114),
    ),
    dict(type='YOLOv5HSVRandomAug'),
    dict(type='mmdet.RandomFlip', prob=0.5),
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'flip'),
    ),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='YOLOv5KeepRatioResize', scale=img_scale),
    dict(
        type='LetterResize',
        scale=img_scale,
        allow_scale_up=False,
        pad_val=dict(img=114),
    ),
    dict(type='LoadAnnotations', with_bbox=True, _scope_='mmdet'),
    dict(
        type='mmdet.PackDetInputs',
        meta_keys=(
            *('img_id', 'img_path', 'ori_shape', 'img_shape'),
            *('scale_factor', 'pad_param'),
        ),
    ),
]
batch_size = 16
train_dataloader = dict(
    batch_size=batch_size,
    num_workers=1,
    pin_memory=False,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        filter_cfg=dict(filter_empty_gt=False, min_size=8),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=1,
    pin_memory=False,
    dataset=dict(
        data_root=data_root,
        metainfo=metainfo,
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/'),
        pipeline=test_pipeline,
        batch_shapes_cfg=None,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val.json')
test_evaluator = val_evaluator

max_epochs = 30
train_cfg = dict(max_epochs=max_epochs, val_interval=10)
# The base's schedule warms up for 1000 iterations at least, which is all there is here.
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=10, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR',
        T_max=max_epochs,
        eta_min_ratio=0.01,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(
    logger=dict(interval=8),
    param_scheduler=dict(_delete_=True, type='ParamSchedulerHook'),
    checkpoint=dict(interval=max_epochs, max_keep_ckpts=1, save_best=None),
)
# An average over thousands of steps would still hold the initial weights here.
custom_hooks = []
# The same run twice gives the same mAP on a CPU. On a GPU
# deterministic=True would stop: not every layer has a deterministic backward pass.
randomness = dict(seed=0)
