"""A hook for a test that trains a little."""

import torch
from mmengine.hooks import Hook


class Watch(Hook):
    """Stops after two iterations; notes losses, and which parameters had a gradient."""

    def __init__(self):
        self.losses, self.validated = [], 0
        self.trainable, self.reached = set(), set()

    def before_train(self, runner):
        # Gradients of mixed precision overflow until the scale has been found.
        self.scaled = hasattr(runner.optim_wrapper, 'loss_scaler')
        for name, param in runner.model.backbone.named_parameters():
            # A frozen one takes no hook, and may be unfrozen later.
            frozen = not param.requires_grad
            param.requires_grad = True
            param.register_post_accumulate_grad_hook(
                lambda p, name=name: self._reach(name, p)
            )
            param.requires_grad = not frozen

    def _reach(self, name, param):
        if self.scaled or torch.isfinite(param.grad).all():
            self.reached.add(name)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(outputs['loss'].item())
        parameters = runner.model.backbone.named_parameters()
        self.trainable |= {name for name, p in parameters if p.requires_grad}
        runner.train_loop.stop_training = len(self.losses) >= 2

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.validated += len(outputs)
