_base_ = 'mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py'
custom_imports = dict(imports=['plugin.seg'], allow_failed_imports=False)

model = dict(
    # As timm's pretrained_cfg has it for these weights: 0.5 of 1, for mean and std.
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    # The base's is for its ResNet; mmseg would hand it to any backbone.
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='plugin.TIMMBackbone',
        model_name='tf_efficientnetv2_s.in21k',
        pretrained=True,
        out_indices=(1, 2, 3, 4),
    ),
    decode_head=dict(in_channels=[48, 64, 160, 256]),
    auxiliary_head=dict(in_channels=160),
)
