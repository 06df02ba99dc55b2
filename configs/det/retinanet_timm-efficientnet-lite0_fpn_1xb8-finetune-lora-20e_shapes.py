# From ImageNet weights, which stand still to the end; adapters in the pointwise
# convolutions learn, and so do neck and head.
_base_ = './_base_/retinanet_lite0_shapes.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='plugin.PEFTBackbone',
        backbone=dict(
            type='plugin.TIMMBackbone',
            model_name='tf_efficientnet_lite0',
            out_indices=(2, 3, 4),
            init_cfg={{_base_.lite0}},
        ),
        peft_config=dict(
            peft_type='LORA',
            r=8,
            lora_alpha=16,
            target_modules=['conv_pw', 'conv_pwl'],
        ),
    )
)
