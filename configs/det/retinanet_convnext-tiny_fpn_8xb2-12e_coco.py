_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)

# ImageNet-1k weights of mmpretrain; mean and std of the base are the ones that they
# were trained with.
checkpoint = 'https://download.openmmlab.com/mmclassification/v0/convnext/downstream/convnext-tiny_3rdparty_32xb128-noema_in1k_20220301-795e9634.pth'  # noqa: E501

model = dict(
    backbone=dict(
        _delete_=True,
        type='plugin.ConvNeXt',
        arch='tiny',
        out_indices=(0, 1, 2, 3),
        # The stem and stage 1, as the base freezes its ResNet. The neck leaves out the
        # map of stride 4; its norm would be a trainable parameter without a gradient,
        # at which distributed training stops.
        frozen_stages=1,
        drop_path_rate=0.1,
        layer_scale_init_value=1.0,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
)

# AdamW as ConvNeXt was trained with, at the rate of the ConvNeXt detectors.
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
