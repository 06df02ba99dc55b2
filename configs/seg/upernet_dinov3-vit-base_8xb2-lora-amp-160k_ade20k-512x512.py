_base_ = './upernet_dinov3-vit-base_8xb2-amp-160k_ade20k-512x512.py'
custom_imports = dict(imports=['plugin.seg'], allow_failed_imports=False)

model = dict(
    # The adapters train, and so do neck and heads; the ViT itself stays as it is.
    backbone=dict(
        _delete_=True,
        type='plugin.PEFTBackbone',
        backbone=dict(
            type='plugin.TIMMBackbone',
            model_name='vit_base_patch16_dinov3.lvd1689m',
            pretrained=True,
            out_indices=(2, 5, 8, 11),
        ),
        peft_config=dict(
            peft_type='LORA', r=16, lora_alpha=16, target_modules=['qkv', 'proj']
        ),
    ),
)

# Adapters begin at nothing, wherever they are, and take the rate of the head.
optim_wrapper = dict(
    constructor='DefaultOptimWrapperConstructor',
    paramwise_cfg=dict(_delete_=True, norm_decay_mult=0.0, bias_decay_mult=0.0),
)
