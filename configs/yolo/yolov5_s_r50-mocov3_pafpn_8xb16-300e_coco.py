_base_ = 'mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py'
custom_imports = dict(imports=['plugin.yolo'], allow_failed_imports=False)

checkpoint = 'https://download.openmmlab.com/mmselfsup/1.x/mocov3/mocov3_resnet50_8xb512-amp-coslr-800e_in1k/mocov3_resnet50_8xb512-amp-coslr-800e_in1k_20220927-e043f51a.pth'  # noqa: E501
# widen_factor multiplies the channels that neck and head are given, so it must be 1.
channels = [512, 1024, 2048]

model = dict(
    # YOLOv5 feeds 0 to 1; these weights come from ImageNet's mean and std.
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
    backbone=dict(
        _delete_=True,
        # MMSelfSup's ResNet lives on in mmpretrain, where stages count from 0: the
        # tutorial's out_indices=(2, 3, 4) are these.
        type='mmpretrain.ResNet',
        depth=50,
        out_indices=(1, 2, 3),
        frozen_stages=1,
        norm_eval=True,
        # The file holds all of MoCo; without the prefix nothing would be loaded.
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    neck=dict(in_channels=channels, out_channels=channels, widen_factor=1.0),
    bbox_head=dict(head_module=dict(in_channels=channels, widen_factor=1.0)),
)
