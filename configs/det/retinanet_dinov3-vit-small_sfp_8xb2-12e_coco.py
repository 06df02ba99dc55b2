_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        _delete_=True,
        type='plugin.TIMMBackbone',
        model_name='vit_small_patch16_dinov3.lvd1689m',
        pretrained=True,
        out_indices=(11,),
        drop_path_rate=0.1,
    ),
    # A plain ViT has one stride, 16; this makes RetinaNet's, 8 to 128, of its last map.
    neck=dict(
        _delete_=True,
        type='plugin.SimpleFeaturePyramid',
        in_channels=[384],
        out_channels=256,
        scales=(2, 1, 0.5),
        extra_maps=2,
    ),
)

# The rate, weight decay and layer decay of ViTDet, which has 64 images in a step; by
# the square root for the 16 here.
optim_wrapper = dict(
    optimizer=dict(
        _delete_=True, type='AdamW', lr=1e-4 * (8 * 2 / 64) ** 0.5, weight_decay=0.1
    ),
    constructor='LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(decay_rate=0.7),
)
