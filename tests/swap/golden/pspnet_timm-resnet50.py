_base_ = 'mmseg::pspnet/pspnet_r50-d8_4xb4-80k_ade20k-512x512.py'
custom_imports = dict(imports=['plugin.seg'], allow_failed_imports=False)

model = dict(
    # The base's is for its own backbone; it would be handed to any.
    pretrained=None,
    backbone=dict(
        _delete_=True,
        type='plugin.TIMMBackbone',
        # With its tag: what a bare name loads may change.
        model_name='resnet50.a1_in1k',
        pretrained=True,
        out_indices=(1, 2, 3, 4),
        # As the base's ResNetV1c: dilated from stride 8 on.
        timm_kwargs=dict(output_stride=8),
    ),
)
