_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)

checkpoint = 'https://download.openmmlab.com/mmclassification/v0/mobilenet_v3/convert/mobilenet_v3_small-8427ecf0.pth'  # noqa: E501

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.MobileNetV3',
        arch='small',
        out_indices=(1, 3, 8, 11),
        # As in the base: the images of one GPU are few for statistics.
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    neck=dict(in_channels=[16, 24, 48, 96]),
)

# No map that is read depends on layer12: without a gradient, at which distributed
# training stops unless it looks for such parameters.
find_unused_parameters = True
