_base_ = 'mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py'
custom_imports = dict(_delete_=True, imports=['plugin.seg'], allow_failed_imports=False)

channels = [1024] * 4

model = dict(
    backbone=dict(
        _delete_=True,
        type='plugin.TIMMBackbone',
        model_name='vit_large_patch16_dinov3.lvd1689m',
        pretrained=True,
        # The blocks that the authors of DINOv3 read for dense tasks.
        out_indices=(4, 11, 17, 23),
        with_cp=True,
    ),
    # A plain ViT has one stride, 16; this makes the four that Mask2Former takes.
    neck=dict(type='Feature2Pyramid', embed_dim=channels[0], rescales=[4, 2, 1, 0.5]),
    decode_head=dict(in_channels=channels),
)
