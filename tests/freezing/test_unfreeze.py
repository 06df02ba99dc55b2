import logging
import re

import pytest
import torch
from freezable import FIRST, WIDE, Case, parametrize
from mmengine.hooks import Hook
from mmengine.model import BaseModule
from mmengine.registry import HOOKS, MODELS
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from toy_training import bare, build_runner, recorder_of, toy_config, train

from plugin.freezing.hooks import (
    FreezeBackboneHook,
    UnfreezeBackboneEpochBasedHook,
    UnfreezeBackboneIterBasedHook,
)

EPOCH = 'plugin.UnfreezeBackboneEpochBasedHook'
ITER = 'plugin.UnfreezeBackboneIterBasedHook'
FREEZE = 'plugin.FreezeBackboneHook'
STATISTICS = ('running_mean', 'running_var', 'num_batches_tracked')
RESNET = FIRST[0]
VIT = next(case for case in WIDE if case.name == 'mmpretrain VisionTransformer')


def config_of(case: Case, stages: int, work_dir, *hooks: dict, **more):
    backbone = case.with_frozen(stages)
    config = toy_config(
        backbone, case.scope, work_dir, list(hooks), size=case.size, **more
    )
    config.default_hooks.checkpoint.save_optimizer = False
    return config


def iteration_based(config, iters: int = 16, val_interval: int = 4):
    config.train_cfg = dict(by_epoch=False, max_iters=iters, val_interval=val_interval)
    config.train_dataloader.sampler = dict(type='InfiniteSampler', shuffle=False)
    config.default_hooks.checkpoint.update(by_epoch=False, interval=4)
    config.param_scheduler = [dict(type='MultiStepLR', milestones=[12], by_epoch=False)]
    config.log_processor = dict(by_epoch=False)
    config.custom_hooks[-1].interval = 4
    return config


def trained_entries(backbone: nn.Module) -> set[str]:
    """Parameters, and the statistics of norms in training mode."""
    names = {f'backbone.{n}' for n, p in backbone.named_parameters() if p.requires_grad}
    for prefix, module in backbone.named_modules():
        if isinstance(module, _NormBase) and module.training:
            names |= {f'backbone.{prefix}.{statistic}' for statistic in STATISTICS}
    return names


def in_training(case: Case, stages: int, **more) -> nn.Module:
    backbone = case.build(stages, **more)
    backbone.train()
    return backbone


def held_entries(case: Case, stages: int) -> set[str]:
    """Return what the class freezes, and the statistics that belong to it."""
    backbone = in_training(case, stages)
    frozen = {n for n, p in backbone.named_parameters() if not p.requires_grad}
    owners = {name.rpartition('.')[0] for name in frozen}
    return {
        f'backbone.{name}'
        for name in backbone.state_dict()
        if name in frozen
        or (name.rpartition('.')[0] in owners and name.endswith(STATISTICS))
    }


@parametrize(in_runner=True)
def test_frozen_until_the_milestone_and_training_in_every_epoch_after(case, tmp_path):
    hook = dict(type=EPOCH, unfreeze_epoch=2)
    _, recorder = train(config_of(case, case.values[1], tmp_path, hook))
    held = held_entries(case, case.values[1])
    every = trained_entries(in_training(case, case.nothing))
    assert held and held < every
    for epoch in (0, 1):
        assert recorder.moved(epoch, epoch + 1) == every - held
    for epoch in (2, 3):
        assert recorder.moved(epoch, epoch + 1) == every


@parametrize(in_runner=True)
def test_frozen_for_good_with_the_freeze_hook(case, tmp_path):
    stages = case.values[0]
    _, recorder = train(config_of(case, stages, tmp_path, dict(type=FREEZE), epochs=2))
    every = trained_entries(in_training(case, case.nothing))
    assert recorder.moved(0, 2) == every - held_entries(case, stages)


def test_the_freeze_hook_takes_a_number_of_stages_of_its_own(tmp_path):
    hook = dict(type=FREEZE, frozen_stages=2)
    _, recorder = train(config_of(RESNET, -1, tmp_path, hook, epochs=1))
    assert {name.split('.')[1] for name in recorder.moved(0, 1)} == {'layer3', 'layer4'}


def test_the_freeze_hook_unfreezes_what_the_config_froze_beyond_its_number(tmp_path):
    hook = dict(type=FREEZE, frozen_stages=0)
    _, recorder = train(config_of(RESNET, 1, tmp_path, hook, epochs=1))
    moved = {name.split('.')[1] for name in recorder.moved(0, 1)}
    assert moved == {'layer1', 'layer2', 'layer3', 'layer4'}


def test_norm_eval_keeps_the_statistics_after_unfreezing(tmp_path):
    config = config_of(RESNET, 1, tmp_path, dict(type=EPOCH, unfreeze_epoch=2))
    config.model.backbone.norm_eval = True
    _, recorder = train(config)
    moved = recorder.moved(2, 4)
    assert 'backbone.bn1.weight' in moved
    assert moved == {f'backbone.{n}' for n, _ in RESNET.build(-1).named_parameters()}


def test_norms_that_norm_cfg_freezes_do_not_train_after_unfreezing(tmp_path):
    config = config_of(
        RESNET, 1, tmp_path, dict(type=EPOCH, unfreeze_epoch=1), epochs=2
    )
    config.model.backbone.update(norm_cfg=dict(type='BN', requires_grad=False))
    _, recorder = train(config)
    moved = recorder.moved(1, 2)
    assert 'backbone.conv1.weight' in moved
    assert not {n for n in moved if 'bn' in n and n.endswith(('weight', 'bias'))}


def test_stages_are_unfrozen_in_steps(tmp_path):
    hook = dict(type=EPOCH, milestones=[(3, -1), (1, 1), (2, 0)])
    _, recorder = train(config_of(RESNET, 3, tmp_path, hook))
    first = {
        epoch: {name.split('.')[1] for name in recorder.moved(epoch, epoch + 1)}
        for epoch in range(4)
    }
    assert first == {
        0: {'layer4'},
        1: {'layer2', 'layer3', 'layer4'},
        2: {'layer1', 'layer2', 'layer3', 'layer4'},
        3: {'conv1', 'bn1', 'layer1', 'layer2', 'layer3', 'layer4'},
    }


def test_a_vit_is_unfrozen_in_steps(tmp_path):
    hook = dict(type=EPOCH, milestones=[(1, 2), (2, 0)])
    _, recorder = train(config_of(VIT, 4, tmp_path, hook, epochs=3))
    layers = {f'layers.{i}' for i in range(4)}
    stem = {'patch_embed', 'pos_embed', 'cls_token', 'pre_norm', 'ln1'}

    def parts(epoch):
        names = {n.removeprefix('backbone.') for n in recorder.moved(epoch, epoch + 1)}
        return {
            '.'.join(n.split('.')[:2]) if n.startswith('layers') else n.split('.')[0]
            for n in names
        }

    assert parts(0) == set()
    assert parts(1) == {'layers.2', 'layers.3', 'ln1'}
    assert parts(2) == layers | stem


@HOOKS.register_module()
class ModeWatcher(Hook):
    def __init__(self):
        self.dropout_on = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        layers = bare(runner).backbone.layers
        modes = [
            {m.training for m in layer.modules() if isinstance(m, nn.Dropout)}
            for layer in layers
        ]
        self.dropout_on.append(modes)


def test_dropout_of_frozen_layers_is_off_until_they_train(tmp_path):
    # mmpretrain's ViT freezes in its constructor; model.train() undoes the eval mode.
    hook = dict(type=EPOCH, milestones=[(1, 1), (2, -1)])
    config = config_of(VIT, 2, tmp_path, hook, dict(type='ModeWatcher'), epochs=3)
    runner, _ = train(config)
    watcher = next(hook for hook in runner.hooks if isinstance(hook, ModeWatcher))
    on, off = {True}, {False}
    assert watcher.dropout_on[:4] == [[off, off, on, on]] * 4
    assert watcher.dropout_on[4:8] == [[off, on, on, on]] * 4
    assert watcher.dropout_on[8:] == [[on] * 4] * 4


def test_the_iteration_hook_unfreezes_in_an_iteration_loop(tmp_path):
    config = config_of(RESNET, 1, tmp_path, dict(type=ITER, unfreeze_iter=8))
    _, recorder = train(iteration_based(config))
    stem = {
        f'backbone.{n}' for n in RESNET.build(-1).state_dict() if n[:2] in ('co', 'bn')
    }
    for before, after in ((0, 1), (1, 2)):
        assert not stem & recorder.moved(before, after)
    for before, after in ((2, 3), (3, 4)):
        assert stem <= recorder.moved(before, after)


def test_the_iteration_hook_unfreezes_within_an_epoch(tmp_path):
    config = config_of(RESNET, 1, tmp_path, dict(type=ITER, unfreeze_iter=6))
    config.custom_hooks[-1].interval = 1
    _, recorder = train(config)
    norm = 'backbone.bn1.'
    moved = [bool(recorder.moved(i, i + 1, norm)) for i in range(16)]
    assert moved == [False] * 6 + [True] * 10


def test_a_milestone_of_0_trains_all_from_the_start(tmp_path):
    _, recorder = train(
        config_of(RESNET, 1, tmp_path, dict(type=EPOCH, unfreeze_epoch=0), epochs=1)
    )
    assert 'backbone.conv1.weight' in recorder.moved(0, 1)


def test_the_default_is_one_epoch(tmp_path):
    _, recorder = train(config_of(RESNET, 1, tmp_path, dict(type=EPOCH), epochs=2))
    assert 'backbone.conv1.weight' not in recorder.moved(0, 1)
    assert 'backbone.conv1.weight' in recorder.moved(1, 2)


def test_two_backbones_take_two_hooks(tmp_path):
    config = config_of(
        RESNET,
        1,
        tmp_path,
        dict(type=EPOCH, unfreeze_epoch=1),
        dict(type=EPOCH, unfreeze_epoch=2, backbone='more'),
        epochs=3,
    )
    config.model.more = RESNET.with_frozen(0)
    runner, recorder = train(config)
    one = [f'backbone.{n}.weight' in recorder.moved(e, e + 1) for e in range(3)
           for n in ('conv1', 'layer1.0.conv1')]  # fmt: skip
    assert one == [False, False, True, True, True, True]
    two = [
        'more.conv1.weight' in recorder.moved(epoch, epoch + 1, 'more.')
        for epoch in range(3)
    ]
    assert two == [False, False, True]
    in_optimizer = {
        id(p)
        for group in runner.optim_wrapper.optimizer.param_groups
        for p in group['params']
    }
    assert in_optimizer == {id(p) for p in bare(runner).parameters()}


def test_two_hooks_on_one_backbone_are_refused(tmp_path):
    runner = build_runner(
        config_of(RESNET, 1, tmp_path, dict(type=EPOCH), dict(type=FREEZE))
    )
    with pytest.raises(ValueError, match='both hold backbone'):
        runner.train()


# What is reported before the first iteration.


@pytest.fixture
def log(caplog):
    """Messages of the runner, whose logger does not pass them on."""

    class Lines(logging.Handler):
        def __init__(self):
            super().__init__()
            self.lines = []

        def emit(self, record):
            self.lines.append((record.levelname, record.getMessage()))

    handler = Lines()

    def train_logged(config):
        config.log_level = 'INFO'
        runner = build_runner(config)
        runner.logger.addHandler(handler)
        runner.train()
        return [line for line in handler.lines if 'backbone (' in line[1]]

    return train_logged


def test_the_log_says_what_is_frozen_and_what_is_unfrozen(tmp_path, log):
    case = Case('', 'mmdet', dict(type='ResNet', depth=18))
    hook = dict(type=EPOCH, milestones=[(1, 0), (2, -1)], warmup_iters=5)
    lines = log(config_of(case, 1, tmp_path, hook, epochs=3))
    stages = '12 tensors, 0.15 M parameters (layer1)'
    ramp = '; their learning rate rises from 0.1 of its value over 5 iterations'
    assert [text for _, text in lines] == [
        'backbone (ResNet): frozen_stages=1 freezes 15 tensors, 0.16 M parameters '
        '(conv1, bn1, layer1)',
        'backbone (ResNet): frozen_stages=0 after 1 epoch',
        'backbone (ResNet): frozen_stages=-1 after 2 epochs',
        f'backbone (ResNet): frozen_stages=0 after 1 epoch unfreezes {stages}{ramp}; 3 '
        'tensors stay frozen',
        'backbone (ResNet): frozen_stages=-1 after 2 epochs unfreezes 3 tensors, '
        f'0.01 M parameters (conv1, bn1){ramp}; 0 tensors stay frozen',
    ]


@pytest.mark.parametrize('hook', [dict(type=EPOCH), dict(type=FREEZE)])
def test_a_backbone_with_nothing_frozen_is_warned_about(tmp_path, log, hook):
    [(level, text)] = log(config_of(RESNET, -1, tmp_path, hook, epochs=2))
    assert level == 'WARNING'
    assert 'frozen_stages=-1 and nothing in it is frozen by that' in text


@MODELS.register_module()
class NeverFreezes(BaseModule):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return (self.conv(x),)


def test_a_backbone_that_can_not_freeze_is_refused_before_training(tmp_path):
    config = toy_config(
        dict(type='NeverFreezes'), 'mmengine', tmp_path, [dict(type=EPOCH)]
    )
    runner = build_runner(config)
    with pytest.raises(ValueError, match=r'backbone \(NeverFreezes\) cannot freeze'):
        runner.train()
    assert runner.iter == 0 and not recorder_of(runner).states


def test_a_model_without_that_backbone_is_refused(tmp_path):
    hook = dict(type=EPOCH, backbone='student.backbone')
    runner = build_runner(config_of(RESNET, 1, tmp_path, hook))
    with pytest.raises(ValueError, match="write backbone='backbone'"):
        runner.train()


@pytest.mark.parametrize(
    ('hook', 'message'),
    [
        (
            dict(unfreeze_epoch=4),
            r'after epoch 4, but training has 4 epochs; write a num',
        ),
        (
            dict(milestones=[(1, 1), (7, -1)]),
            'after epoch 7, but training has 4 epochs',
        ),
        (
            dict(milestones=[(1, 3), (2, -1)]),
            'frozen_stages=3 after 1 epoch unfreezes n',
        ),
        (
            dict(milestones=[(1, -1), (2, -1)]),
            'frozen_stages=-1 after 2 epochs unfreezes',
        ),
        (dict(milestones=[(1, 9)]), 'does not take frozen_stages=9'),
    ],
)
def test_a_milestone_that_could_not_take_effect_is_refused(tmp_path, hook, message):
    runner = build_runner(config_of(RESNET, 2, tmp_path, dict(type=EPOCH, **hook)))
    with pytest.raises(ValueError, match=message):
        runner.train()
    assert runner.iter == 0 and not recorder_of(runner).states


def test_an_epoch_hook_in_an_iteration_loop_is_refused(tmp_path):
    config = config_of(RESNET, 1, tmp_path, dict(type=EPOCH))
    runner = build_runner(iteration_based(config))
    with pytest.raises(
        ValueError, match='IterBasedTrainLoop has only one, .* use dict'
    ):
        runner.train()


def test_an_iteration_after_the_end_is_refused(tmp_path):
    config = config_of(RESNET, 1, tmp_path, dict(type=ITER, unfreeze_iter=16))
    runner = build_runner(iteration_based(config))
    with pytest.raises(
        ValueError, match='after iteration 16, but training has 16 iterations'
    ):
        runner.train()


@pytest.mark.parametrize(
    'arguments',
    [
        dict(unfreeze_epoch=-1),
        dict(unfreeze_epoch=1.5),
        dict(milestones=[(-1, 0)]),
        dict(milestones=[(2, 1), (2, -1)]),
        dict(milestones=[]),
        dict(milestones=[(1,)]),
        dict(milestones=[(1, None)]),
        dict(unfreeze_epoch=1, milestones=[(2, -1)]),
        dict(warmup_iters=-1),
        dict(warmup_iters=5, warmup_ratio=0),
        dict(warmup_iters=5, warmup_ratio=1.5),
    ],
)
def test_an_argument_without_meaning_is_refused(arguments):
    with pytest.raises(ValueError, match=re.compile('write|must')):
        UnfreezeBackboneEpochBasedHook(**arguments)


def test_the_iteration_hook_wants_a_milestone():
    with pytest.raises(ValueError, match='write unfreeze_iter, after which everything'):
        UnfreezeBackboneIterBasedHook()


def test_testing_after_training_freezes_nothing_again(tmp_path):
    config = config_of(RESNET, 1, tmp_path, dict(type=EPOCH), epochs=2)
    config.test_dataloader = config.val_dataloader
    config.test_evaluator = config.val_evaluator
    config.test_cfg = dict()
    runner, _ = train(config)
    runner.test()
    assert bare(runner).backbone.frozen_stages == -1
    assert all(p.requires_grad for p in bare(runner).parameters())


def test_validation_alone_needs_no_optimizer(tmp_path):
    runner = build_runner(config_of(RESNET, 1, tmp_path, dict(type=EPOCH)))
    runner.val()
    assert bare(runner).backbone.frozen_stages == 1


@pytest.mark.parametrize('library', ['det', 'seg', 'yolo', 'cls'])
def test_every_library_has_the_hooks_under_their_plain_names(library):
    pytest.importorskip(f'plugin.{library}')
    from importlib import import_module

    scope = dict(det='mmdet', seg='mmseg', yolo='mmyolo', cls='mmpretrain')[library]
    hooks = import_module(f'{scope}.registry').HOOKS
    for cls in (
        FreezeBackboneHook,
        UnfreezeBackboneEpochBasedHook,
        UnfreezeBackboneIterBasedHook,
    ):
        assert hooks.get(cls.__name__) is cls


def test_nothing_about_a_model_is_random(tmp_path):
    """Every comparison of weights in these tests rests on this."""
    config = config_of(RESNET, 1, tmp_path, dict(type=EPOCH), epochs=2)
    one, two = train(config)[1], train(config)[1]
    assert all(torch.equal(v, two.states[-1][n]) for n, v in one.states[-1].items())
