# The linear probe of DINOv2 (arXiv:2304.07193): one layer on what the frozen ViT gives.
_base_ = 'mmseg::fcn/fcn_r50-d8_4xb4-80k_ade20k-512x512.py'
custom_imports = dict(imports=['plugin.seg'], allow_failed_imports=False)

channels = 768

model = dict(
    # The base's is for its own backbone; it would be handed to any.
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='plugin.TIMMBackbone',
        # Its patches of 14 pixels are resampled to 16.
        model_name='vit_base_patch14_dinov2.lvd142m',
        pretrained=True,
        out_indices=(11,),
        # All blocks.
        frozen_stages=12,  # plugin: ignore[freeze]
    ),
    decode_head=dict(
        in_channels=channels,
        in_index=0,
        channels=channels,
        num_convs=0,
        concat_input=False,
        dropout_ratio=0.0,
    ),
    auxiliary_head=None,
)

optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=1e-4)
)
