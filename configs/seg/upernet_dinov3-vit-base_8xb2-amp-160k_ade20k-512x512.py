# The base has mixed precision and AdamW for 160,000 iterations.
_base_ = 'mmseg::convnext/convnext-base_upernet_8xb2-amp-160k_ade20k-512x512.py'
custom_imports = dict(imports=['plugin.seg'], allow_failed_imports=False)

channels = [768] * 4

model = dict(
    backbone=dict(
        _delete_=True,
        type='plugin.TIMMBackbone',
        model_name='vit_base_patch16_dinov3.lvd1689m',
        pretrained=True,
        out_indices=(2, 5, 8, 11),
        drop_path_rate=0.1,
    ),
    # A plain ViT has one stride, 16; this makes the four that UPerNet takes.
    neck=dict(type='Feature2Pyramid', embed_dim=channels[0], rescales=[4, 2, 1, 0.5]),
    decode_head=dict(in_channels=channels),
    auxiliary_head=dict(in_channels=channels[0]),
)

optim_wrapper = dict(
    constructor='LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(_delete_=True, decay_rate=0.8),
)
