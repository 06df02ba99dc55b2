_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        _delete_=True,
        type='plugin.TIMMBackbone',
        # Its patches of 14 pixels are resampled to 16.
        model_name='vit_small_patch14_dinov2.lvd142m',
        pretrained=True,
        out_indices=(11,),
        # All blocks; neck and heads alone train.
        frozen_stages=12,  # plugin: ignore[freeze]
    ),
    neck=dict(
        _delete_=True,
        type='plugin.SimpleFeaturePyramid',
        in_channels=[384],
        out_channels=256,
        scales=(4, 2, 1, 0.5),
        extra_maps=1,
    ),
)

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
