# Learns the generated shapes from scratch on two CPU cores.
_base_ = './_base_/upernet_shapes.py'
custom_imports = dict(imports=['plugin.seg'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        _delete_=True,
        type='plugin.TIMMBackbone',
        model_name='resnet10t',
        out_indices=(1, 2, 3, 4),
    ),
    decode_head=dict(in_channels=[64, 128, 256, 512]),
    auxiliary_head=dict(in_channels=256),
)
