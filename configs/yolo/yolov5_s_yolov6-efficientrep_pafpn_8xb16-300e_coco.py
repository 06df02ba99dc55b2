_base_ = 'mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py'
custom_imports = dict(imports=['plugin.yolo'], allow_failed_imports=False)

# With the base's widen_factor of 0.5 it gives the channels of the CSPDarknet that it
# replaces, 128, 256 and 512, so neck and head stay as they are. No weights to load.
model = dict(
    backbone=dict(
        _delete_=True,
        type='YOLOv6EfficientRep',
        deepen_factor=_base_.deepen_factor,
        widen_factor=_base_.widen_factor,
        norm_cfg=dict(type='BN', momentum=0.03, eps=0.001),
        act_cfg=dict(type='ReLU', inplace=True),
    )
)
