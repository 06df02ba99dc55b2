# UperNet on the generated shapes, narrow enough for a CPU.
_base_ = ['mmseg::_base_/models/upernet_r50.py', './shapes.py']

# The base's SyncBN wants a GPU.
norm_cfg = dict(type='BN', requires_grad=True)
channels = 128
model = dict(
    data_preprocessor=dict(size=(128, 160)),
    # The base's is for its ResNet; mmseg would hand it to any backbone.
    pretrained=None,
    decode_head=dict(channels=channels, norm_cfg=norm_cfg, num_classes=4),
    auxiliary_head=dict(channels=channels, norm_cfg=norm_cfg, num_classes=4),
)
