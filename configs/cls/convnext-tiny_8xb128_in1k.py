# Pretrains the backbone; downstream it is loaded with `prefix='backbone.'`.
_base_ = 'mmpretrain::convnext/convnext-tiny_32xb128_in1k.py'
custom_imports = dict(imports=['plugin.cls'], allow_failed_imports=False)

model = dict(
    backbone=dict(
        _delete_=True,
        # In mmpretrain the plain name is its own ConvNeXt.
        type='plugin.ConvNeXt',
        arch='tiny',
        out_indices=(3,),
        drop_path_rate=0.1,
        gap_before_final_norm=True,  # (N, C), as the head wants it
    ),
    head=dict(in_channels=768),
)

batch_size = 8 * 128
optim_wrapper = dict(optimizer=dict(lr=4e-3 * batch_size / 4096))
auto_scale_lr = dict(base_batch_size=batch_size)
