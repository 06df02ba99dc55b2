_base_ = 'mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py'
custom_imports = dict(imports=['plugin.yolo'], allow_failed_imports=False)

# widen_factor multiplies the channels that neck and head are given, so it must be 1.
channels = [512, 1024, 2048]

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmdet.ResNet',
        depth=50,
        out_indices=(1, 2, 3),
        # Random weights must not be frozen, nor random statistics kept.
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=channels, out_channels=channels, widen_factor=1.0),
    bbox_head=dict(head_module=dict(in_channels=channels, widen_factor=1.0)),
)
