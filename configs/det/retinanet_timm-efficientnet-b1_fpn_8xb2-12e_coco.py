_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'
custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        _delete_=True,
        type='plugin.TIMMBackbone',
        # The tag fixes the weights: what a bare 'efficientnet_b1' loads has changed, to
        # weights of another mean and std. Those of this tag are the base's.
        model_name='efficientnet_b1.ft_in1k',
        pretrained=True,
        out_indices=(1, 2, 3, 4),
    ),
    neck=dict(in_channels=[24, 40, 112, 320]),
)

optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
