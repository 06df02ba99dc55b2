"""Messages before a training: the same as in its first iteration."""

import pytest
from freezable import FIRST
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from toy_training import bare, toy_config, train

from plugin.decay.param_groups import in_no_group, param_groups
from plugin.measure.build import build_model
from plugin.measure.optimizer import build_optimizer

RESNET = FIRST[0]
SWIN = next(case for case in FIRST if case.name == 'mmdet Swin')
CONVNEXT = next(case for case in FIRST if case.name == 'mmpretrain ConvNeXt')
ADAMW = dict(type='AdamW', lr=1e-3, weight_decay=0.05)
OPTIM_WRAPPERS = {
    'mmengine': dict(optimizer=ADAMW),
    'mmengine with paramwise_cfg': dict(
        optimizer=ADAMW, paramwise_cfg=dict(norm_decay_mult=0.0)
    ),
    'mmdet': dict(
        constructor='mmdet.LearningRateDecayOptimizerConstructor',
        optimizer=ADAMW,
        paramwise_cfg=dict(num_layers=6, decay_rate=0.5, decay_type='layer_wise'),
    ),
    'mmpretrain': dict(
        constructor='mmpretrain.LearningRateDecayOptimWrapperConstructor',
        optimizer=ADAMW,
        paramwise_cfg=dict(layer_decay_rate=0.5),
    ),
    'plugin': dict(
        constructor='plugin.LayerDecayOptimWrapperConstructor',
        optimizer=ADAMW,
        paramwise_cfg=dict(decay_rate=0.5),
    ),
    'mmyolo': dict(
        type='OptimWrapper',
        constructor='mmyolo.YOLOv5OptimizerConstructor',
        optimizer=dict(type='SGD', lr=1e-3, weight_decay=0.05, batch_size_per_gpu=128),
    ),
}
HOLD = dict(type='plugin.FreezeBackboneHook', frozen_stages=2)
UNFREEZE = dict(type='plugin.UnfreezeBackboneEpochBasedHook', unfreeze_epoch=1)
IN_STEPS = dict(
    type='plugin.UnfreezeBackboneIterBasedHook', milestones=[(1, 1), (2, 0)]
)


@HOOKS.register_module()
class GroupsAtFirst(Hook):
    """Keeps what :func:`param_groups` says in the first iteration."""

    priority = 'VERY_LOW'
    found = None

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if self.found is None:
            self.found = param_groups(bare(runner), runner.optim_wrapper)


@pytest.mark.parametrize(
    ('case', 'stages', 'wrapper', 'hooks'),
    [
        (RESNET, 1, 'mmengine', []),
        (RESNET, 1, 'mmengine with paramwise_cfg', []),
        (RESNET, 1, 'mmengine with paramwise_cfg', [UNFREEZE]),
        (RESNET, 1, 'mmengine with paramwise_cfg', [HOLD]),
        (RESNET, 2, 'mmyolo', [IN_STEPS]),
        (SWIN, 1, 'plugin', []),
        (SWIN, 3, 'plugin', [HOLD]),
        (CONVNEXT, 2, 'plugin', [IN_STEPS]),
        (CONVNEXT, 2, 'mmdet', []),
        (CONVNEXT, 2, 'mmdet', [UNFREEZE]),
        (CONVNEXT, 2, 'mmpretrain', [UNFREEZE]),
    ],
)
def test_groups_are_those_of_the_first_iteration(
    case, stages, wrapper, hooks, tmp_path
):
    config = toy_config(
        case.with_frozen(stages), case.scope, tmp_path, hooks, 2, case.size
    )
    config.default_hooks.checkpoint = None
    config.optim_wrapper = OPTIM_WRAPPERS[wrapper]
    config.custom_hooks.append(dict(type='GroupsAtFirst'))
    runner, _ = train(config)
    watcher = next(hook for hook in runner.hooks if isinstance(hook, GroupsAtFirst))

    model = build_model(config)
    found = param_groups(model, build_optimizer(config, model).wrapper)
    assert all(param.is_meta for param in model.parameters())
    assert found == watcher.found
    assert in_no_group(model, found) == in_no_group(bare(runner), watcher.found)
