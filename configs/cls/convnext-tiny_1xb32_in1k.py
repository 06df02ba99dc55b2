# For one small GPU.
_base_ = './convnext-tiny_8xb128_in1k.py'

batch_size = 32
train_dataloader = dict(batch_size=batch_size)
val_dataloader = dict(batch_size=batch_size)
test_dataloader = dict(batch_size=batch_size)
optim_wrapper = dict(optimizer=dict(lr=4e-3 * batch_size / 4096))
auto_scale_lr = dict(base_batch_size=batch_size)
