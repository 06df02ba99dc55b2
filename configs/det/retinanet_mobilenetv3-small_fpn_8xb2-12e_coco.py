_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)

# ImageNet-1k weights of torchvision; mean and std of the base are theirs.
checkpoint = 'https://download.openmmlab.com/mmclassification/v0/mobilenet_v3/convert/mobilenet_v3_small-8427ecf0.pth'  # noqa: E501

model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.MobileNetV3',
        arch='small',
        out_indices=(3, 8, 11),  # the last layers of strides 8, 16 and 32
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    # The base leaves out the map of stride 4, and here is none.
    neck=dict(in_channels=[24, 48, 96], start_level=0),
)

# Its last layer, index 12, comes after the maps and is without a gradient: distributed
# training stops there unless it looks for such parameters.
find_unused_parameters = True
