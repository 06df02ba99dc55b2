# A small plain ViT learns the generated shapes from scratch on two CPU cores.
_base_ = './_base_/retinanet_shapes.py'
custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)

channels = 128
model = dict(
    # Its one stride is 16; the pyramid gives the neck strides 8, 16 and 32.
    backbone=dict(
        _delete_=True,
        type='plugin.PyramidBackbone',
        backbone=dict(
            type='plugin.TIMMBackbone',
            model_name='vit_tiny_patch16_224',
            out_indices=(5,),
            img_size=(128, 160),
            timm_kwargs=dict(depth=6),
        ),
        out_channels=channels,
        scales=(2, 1, 0.5),
    ),
    neck=dict(in_channels=[channels] * 3),
)
