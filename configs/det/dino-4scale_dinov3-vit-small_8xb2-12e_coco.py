_base_ = 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'
custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)

channels = 256
model = dict(
    # A plain ViT has one stride, 16; the pyramid gives DINO the three of its ResNet.
    backbone=dict(
        _delete_=True,
        type='plugin.PyramidBackbone',
        backbone=dict(
            type='plugin.TIMMBackbone',
            model_name='vit_small_patch16_dinov3.lvd1689m',
            pretrained=True,
            out_indices=(11,),
        ),
        out_channels=channels,
        scales=(2, 1, 0.5),
    ),
    neck=dict(in_channels=[channels] * 3),
)

# The base trains its backbone at a tenth of the rate, and so would the pyramid, which
# begins with random weights.
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={'backbone.pyramid': dict(lr_mult=1.0)},
    )
)
