_base_ = 'mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py'
custom_imports = dict(imports=['plugin.seg'], allow_failed_imports=False)

checkpoint = 'https://download.openmmlab.com/mmclassification/v0/regnet/regnetx-4.0gf_8xb64_in1k_20211213-efed675c.pth'  # noqa: E501

model = dict(
    # mmpretrain trained its RegNets on BGR: the ImageNet figures, blue first.
    data_preprocessor=dict(
        mean=[103.53, 116.28, 123.675], std=[57.375, 57.12, 58.395], bgr_to_rgb=False
    ),
    # The base's is for its ResNet; mmseg would hand it to any backbone.
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='mmpretrain.RegNet',
        arch='regnetx_4.0gf',
        out_indices=(0, 1, 2, 3),
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    decode_head=dict(in_channels=[80, 240, 560, 1360]),
    auxiliary_head=dict(in_channels=560),
)
