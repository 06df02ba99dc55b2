from importlib import import_module

import pytest
import torch
from freezable import FIRST
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import HOOKS, OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.runner import Runner
from torch import nn
from toy_training import bare, build_runner, recorder_of, toy_config, train

from plugin.freezing.schedule import ramp_of

RESNET = FIRST[0]
CONVNEXT = next(case for case in FIRST if case.name == 'mmpretrain ConvNeXt')
UNFREEZE_AT_2 = dict(type='plugin.UnfreezeBackboneEpochBasedHook', unfreeze_epoch=2)


@HOOKS.register_module()
class GroupWatcher(Hook):
    """Keeps the (rate, weight decay) of every parameter at every iteration."""

    def __init__(self):
        self.seen = []
        self.with_state = []

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        names = {p: n for n, p in bare(runner).named_parameters()}
        optimizer = runner.optim_wrapper.optimizer
        self.seen.append(
            {
                names[p]: (group['lr'], group['weight_decay'])
                for group in optimizer.param_groups
                for p in group['params']
            }
        )
        self.with_state.append({names[p] for p in optimizer.state})


def watched(case, stages, work_dir, hooks, optim_wrapper, epochs=4, **more):
    config = toy_config(
        case.with_frozen(stages), case.scope, work_dir, hooks, epochs, case.size
    )
    config.optim_wrapper = optim_wrapper
    config.custom_hooks.append(dict(type='GroupWatcher'))
    config.default_hooks.checkpoint = None
    config.update(more)
    runner, recorder = train(config)
    watcher = next(hook for hook in runner.hooks if isinstance(hook, GroupWatcher))
    return runner, recorder, watcher


DECAY = dict(num_layers=6, decay_rate=0.5, decay_type='layer_wise')
ADAMW = dict(type='AdamW', lr=1e-3, weight_decay=0.05)
YOLO = dict(
    type='SGD', lr=1e-3, momentum=0.9, weight_decay=0.05, batch_size_per_gpu=128
)
CONSTRUCTORS = {
    'mmengine': (
        RESNET,
        dict(
            optimizer=ADAMW,
            paramwise_cfg=dict(
                norm_decay_mult=0.0, custom_keys={'layer1': dict(lr_mult=0.1)}
            ),
        ),
    ),
    'mmengine without paramwise_cfg': (RESNET, dict(optimizer=ADAMW)),
    'mmdet': (
        CONVNEXT,
        dict(
            constructor='mmdet.LearningRateDecayOptimizerConstructor',
            optimizer=ADAMW,
            paramwise_cfg=DECAY,
        ),
    ),
    'mmseg': (
        CONVNEXT,
        dict(
            constructor='mmseg.LearningRateDecayOptimizerConstructor',
            optimizer=ADAMW,
            paramwise_cfg=DECAY,
        ),
    ),
    'mmpretrain': (
        CONVNEXT,
        dict(
            constructor='mmpretrain.LearningRateDecayOptimWrapperConstructor',
            optimizer=ADAMW,
            paramwise_cfg=dict(layer_decay_rate=0.5),
        ),
    ),
    'mmyolo v5': (
        RESNET,
        dict(
            type='OptimWrapper',
            constructor='mmyolo.YOLOv5OptimizerConstructor',
            optimizer=YOLO,
        ),
    ),
    'mmyolo v7': (
        RESNET,
        dict(
            type='OptimWrapper',
            constructor='mmyolo.YOLOv7OptimWrapperConstructor',
            optimizer=YOLO,
        ),
    ),
    'plugin': (
        CONVNEXT,
        dict(
            constructor='plugin.LayerDecayOptimWrapperConstructor',
            optimizer=ADAMW,
            paramwise_cfg=dict(decay_rate=0.5, decay_type='layer_wise'),
        ),
    ),
}


@pytest.mark.parametrize('constructor', CONSTRUCTORS)
def test_frozen_tensors_have_the_rate_and_decay_of_an_unfrozen_run(
    constructor, tmp_path
):
    case, optim_wrapper = CONSTRUCTORS[constructor]
    scope = constructor.partition(' ')[0]
    if scope.startswith('mm') and scope != 'mmengine':
        import_module(f'{scope}.engine')
    free = watched(case, case.nothing, tmp_path, [], optim_wrapper)[2]
    held = watched(case, case.values[1], tmp_path, [UNFREEZE_AT_2], optim_wrapper)[2]
    names = {name for name, _ in case.build(case.nothing).named_parameters()}
    assert {f'backbone.{name}' for name in names} <= set(free.seen[0])
    # At each of 16 iterations, with a step of the schedule in epoch 3.
    assert held.seen == free.seen
    assert len(set(map(str, held.seen))) == 2


@pytest.mark.parametrize('paramwise_cfg', [None, dict(norm_decay_mult=0.0)])
def test_the_optimizer_has_no_state_for_a_tensor_before_it_is_unfrozen(
    paramwise_cfg, tmp_path
):
    wrapper = dict(optimizer=ADAMW)
    if paramwise_cfg:
        wrapper['paramwise_cfg'] = paramwise_cfg
    _, recorder, watcher = watched(RESNET, 1, tmp_path, [UNFREEZE_AT_2], wrapper)
    every = set(watcher.seen[0])
    frozen = {
        name for name in every if name.split('.')[1] in ('conv1', 'bn1', 'layer1')
    }
    assert watcher.with_state[:8] == [every - frozen] * 8
    assert watcher.with_state[8:] == [every] * 8
    assert not frozen & recorder.moved(0, 2)


def test_scaling_the_rate_with_the_batch_goes_along(tmp_path):
    paramwise = dict(optimizer=ADAMW, paramwise_cfg=dict(norm_decay_mult=0.0))
    # 2 images a batch.
    scale = dict(enable=True, base_batch_size=8)
    runner, _, watcher = watched(
        RESNET, 1, tmp_path, [UNFREEZE_AT_2], paramwise, auto_scale_lr=scale
    )
    assert {lr for lr, _ in watcher.seen[0].values()} == {1e-3 * 2 / 8}
    groups = runner.optim_wrapper.optimizer.param_groups
    assert {group['initial_lr'] for group in groups} == {1e-3 * 2 / 8}


def test_a_constructor_that_leaves_a_tensor_out_anyway_is_warned_about(
    tmp_path, capsys
):
    # YOLOv5's takes what is called weight or bias; ConvNeXt has gamma as well.
    import_module('mmyolo.engine')
    watched(CONVNEXT, 1, tmp_path, [UNFREEZE_AT_2], CONSTRUCTORS['mmyolo v5'][1])
    output = ''.join(capsys.readouterr())
    assert 'leaves 1 of the frozen tensors of backbone (ConvNeXt) out' in output


def test_a_runner_without_config_needs_no_rebuilding_without_paramwise_cfg(tmp_path):
    recorder = recorder_of(_train_without_config(tmp_path, dict(optimizer=ADAMW)))
    assert 'backbone.conv1.weight' in recorder.moved(2, 3)


def test_a_runner_without_config_whose_optimizer_lacks_tensors_is_refused(tmp_path):
    wrapper = dict(optimizer=ADAMW, paramwise_cfg=dict(norm_decay_mult=0.0))
    with pytest.raises(ValueError, match='left out 18 frozen tensors.*Runner.from_cfg'):
        _train_without_config(tmp_path, wrapper)


def _train_without_config(work_dir, optim_wrapper):
    config = toy_config(RESNET.with_frozen(1), 'mmdet', work_dir, [UNFREEZE_AT_2])
    _train_without_config.count += 1
    keys = ('model', 'work_dir', 'train_dataloader', 'train_cfg', 'custom_hooks')
    runner = Runner(
        **{key: config[key] for key in keys},
        optim_wrapper=optim_wrapper,
        default_hooks=dict(checkpoint=None),
        default_scope='mmengine',
        experiment_name=f'bare_{_train_without_config.count}',
    )
    runner.train()
    return runner


_train_without_config.count = 0


def test_a_config_that_the_optimizer_was_not_built_from_is_refused(tmp_path):
    config = toy_config(RESNET.with_frozen(1), 'mmdet', tmp_path, [UNFREEZE_AT_2])
    runner = build_runner(config)
    runner.cfg.optim_wrapper.optimizer = dict(type='SGD', lr=1.0, weight_decay=0.05)
    with pytest.raises(ValueError, match='not what the optimizer of this runner was'):
        runner.train()


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class OnePerPart:
    """Two optimizers, and only what requires a gradient."""

    def __init__(self, optim_wrapper_cfg, paramwise_cfg=None):
        pass

    def __call__(self, model):
        return OptimWrapperDict(
            **{
                part: OptimWrapper(
                    torch.optim.SGD(
                        [
                            p
                            for p in getattr(model, part).parameters()
                            if p.requires_grad
                        ],
                        lr=0.1,
                    )
                )
                for part in ('backbone', 'heads')
            }
        )


def test_several_optimizers_are_completed_too(tmp_path):
    config = toy_config(RESNET.with_frozen(1), 'mmdet', tmp_path, [UNFREEZE_AT_2])
    config.optim_wrapper = dict(constructor='OnePerPart')
    runner = build_runner(config)
    # Past what this test is about: ToyModel steps one optimizer only.
    runner.load_or_resume = lambda: (_ for _ in ()).throw(InterruptedError)
    with pytest.raises(InterruptedError):
        runner.train()
    [group] = runner.optim_wrapper['backbone'].optimizer.param_groups
    assert len(group['params']) == len(list(runner.model.backbone.parameters()))
    assert set(runner.param_schedulers) == {'backbone', 'heads'}


# The ramp.


def test_the_ramp_scales_exactly_the_parameters_it_is_set_for():
    parts = [nn.Parameter(torch.ones(1)) for _ in range(3)]
    optimizer = torch.optim.SGD(
        [dict(params=parts[:2], lr=1.0), dict(params=parts[2:], lr=2.0)], lr=1.0
    )
    ramp = ramp_of(optimizer)
    ramp.set(parts[1:], 0.25)
    for part in parts:
        part.grad = torch.ones(1)
    optimizer.step()
    assert [part.item() for part in parts] == [0.0, 0.75, 0.5]
    assert [g['lr'] for g in optimizer.param_groups] == [1.0, 2.0]
    assert [g['params'] for g in optimizer.param_groups] == [parts[:2], parts[2:]]
    ramp.set(parts[1:], 1)
    optimizer.step()
    assert [part.item() for part in parts] == [-1.0, -0.25, -1.5]


def test_an_optimizer_of_optimizers_is_refused():
    class ZeroRedundancyOptimizer(torch.optim.SGD):
        pass

    with pytest.raises(ValueError, match='warmup_iters does not work with ZeroRed'):
        ramp_of(ZeroRedundancyOptimizer([nn.Parameter(torch.ones(1))], lr=1.0))


def test_two_ramps_on_one_optimizer_do_not_disturb_each_other():
    parts = [nn.Parameter(torch.ones(1)) for _ in range(3)]
    optimizer = torch.optim.SGD(parts, lr=1.0)
    ramp_of(optimizer).set(parts[:1], 0.5)
    ramp_of(optimizer).set(parts[1:2], 0.25)
    for part in parts:
        part.grad = torch.ones(1)
    optimizer.step()
    assert [part.item() for part in parts] == [0.5, 0.75, 0.0]
    assert optimizer.param_groups[0]['params'] == parts


@pytest.mark.parametrize('optimizer', ['AdamW', 'SGD', 'RMSprop'])
def test_a_ramp_of_one_factor_is_the_same_as_a_lower_rate(optimizer):
    def run(ramped):
        torch.manual_seed(0)
        parts = [nn.Parameter(torch.randn(5)) for _ in range(2)]
        groups = [dict(params=parts[:1])] + [dict(params=parts[1:], lr=1e-3)]
        made = getattr(torch.optim, optimizer)(
            parts if ramped else groups, lr=1e-2, weight_decay=0.1
        )
        if ramped:
            ramp_of(made).set(parts[1:], 0.1)
        for _ in range(5):
            for part in parts:
                part.grad = torch.randn(5)
            made.step()
        return torch.cat([p.detach() for p in parts])

    assert torch.allclose(run(True), run(False), rtol=1e-6, atol=0)


@pytest.mark.parametrize('paramwise_cfg', [None, dict(norm_decay_mult=0.0)])
def test_unfrozen_stages_start_at_a_fraction_of_their_rate(paramwise_cfg, tmp_path):
    wrapper = dict(optimizer=dict(type='SGD', lr=0.125))
    if paramwise_cfg:
        wrapper['optimizer']['weight_decay'] = 0.0
        wrapper['paramwise_cfg'] = paramwise_cfg
    by_iteration = dict(type='Recorder', interval=1)

    def first_steps(**ramp):
        hook = dict(UNFREEZE_AT_2, **ramp)
        _, recorder, watcher = watched(
            RESNET, 1, tmp_path, [by_iteration, hook], wrapper, epochs=3
        )
        rates = [{lr for lr, _ in seen.values()} for seen in watcher.seen]
        assert rates == [{0.125}] * 12
        before, after = recorder.states[8], recorder.states[9]
        return {n: after[n] - before[n] for n in before if not n.endswith('tracked')}

    plain, ramped = first_steps(), first_steps(warmup_iters=4, warmup_ratio=0.25)
    for name in ('backbone.conv1.weight', 'backbone.layer1.0.downsample.1.bias'):
        assert plain[name].abs().max() > 0
        assert torch.allclose(ramped[name], plain[name] / 4, rtol=1e-3, atol=1e-8)
    for name in ('backbone.layer2.0.conv1.weight', 'heads.0.weight'):
        assert torch.equal(ramped[name], plain[name])


def test_the_ramp_rises_linearly_and_ends(tmp_path, monkeypatch):
    from plugin.freezing import schedule as lr_ramp

    factors = []
    real = lr_ramp.Ramp.set

    def spy(self, params, factor):
        factors.append(factor)
        real(self, params, factor)

    monkeypatch.setattr(lr_ramp.Ramp, 'set', spy)
    hook = dict(
        type='plugin.UnfreezeBackboneEpochBasedHook',
        milestones=[(1, 0), (2, -1)],
        warmup_iters=4,
        warmup_ratio=0.2,
    )
    watched(RESNET, 1, tmp_path, [hook], dict(optimizer=ADAMW), epochs=4)
    # Before unfreezing the factor has no effect: nothing there has a gradient.
    first, second = factors[0::2], factors[1::2]
    rising = [0.2, 0.4, 0.6, 0.8]
    assert first == pytest.approx([0.2] * 4 + rising + [1.0] * 8)
    assert second == pytest.approx([0.2] * 8 + rising + [1.0] * 4)
