# ViTDet's recipe (arXiv:2203.16527, appendix A.2): large-scale jitter at 1024 pixels,
# AdamW, layer decay 0.7, drop path 0.1, from MAE's weights. Its heads have other
# convolutions and norms than these of mmdet, and eight of its blocks look at windows.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'mmdet::common/lsj-100e_coco-instance.py',
]
custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)

model = dict(
    # A batch must be as large as the crops, so that all images are of one size.
    data_preprocessor=dict(
        batch_augments=[
            dict(type='BatchFixedSizePad', size=(1024, 1024), pad_mask=True)
        ]
    ),
    backbone=dict(
        _delete_=True,
        type='plugin.TIMMBackbone',
        model_name='vit_base_patch16_224.mae',
        pretrained=True,
        out_indices=(11,),
        drop_path_rate=0.1,
        # The 4,096 patches of an image in all 12 blocks are much memory.
        with_cp=True,
    ),
    neck=dict(
        _delete_=True,
        type='plugin.SimpleFeaturePyramid',
        in_channels=[768],
        out_channels=256,
        scales=(4, 2, 1, 0.5),
        extra_maps=1,
    ),
)

train_dataloader = dict(batch_size=8)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-4, weight_decay=0.1),
    constructor='LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(decay_rate=0.7),
)
