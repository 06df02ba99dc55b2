from pathlib import Path

import pytest
import torch
from freezable import FIRST
from test_unfreeze import VIT, iteration_based
from toy_training import bare, build_runner, recorder_of, toy_config, train

from plugin.weights.files.safe_loading import allow_mmengine_checkpoints

RESNET = FIRST[0]
SWIN = next(case for case in FIRST if case.name == 'mmdet Swin')
RAMP = dict(warmup_iters=6, warmup_ratio=0.1)
EPOCH = dict(type='plugin.UnfreezeBackboneEpochBasedHook')
HOOKS = {
    'all at once': dict(EPOCH, unfreeze_epoch=2),
    'in steps with a ramp': dict(EPOCH, milestones=[(1, 0), (2, -1)], **RAMP),
}


@pytest.fixture(autouse=True)
def safe_loading():
    allow_mmengine_checkpoints()


def assert_same(one, two, path=''):
    """Bit for bit, through dicts and lists."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two), path
    elif isinstance(one, dict):
        assert one.keys() == two.keys(), path
        for key in one:
            assert_same(one[key], two[key], f'{path}/{key}')
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(two), path
        for i, pair in enumerate(zip(one, two, strict=True)):
            assert_same(*pair, f'{path}/{i}')
    else:
        assert one == two, path


def resume(config, checkpoint: Path, work_dir: Path):
    config = config.copy()
    config.update(load_from=str(checkpoint), resume=True, work_dir=str(work_dir))
    runner = build_runner(config)
    runner.train()
    return runner


def assert_resumes(config, checkpoints, tmp_path):
    straight, _ = train(config)
    for i, name in enumerate(checkpoints):
        resumed = resume(config, tmp_path / name, tmp_path / f'resumed_{i}')
        assert_same(bare(straight).state_dict(), bare(resumed).state_dict(), name)
        assert_same(
            straight.optim_wrapper.state_dict(),
            resumed.optim_wrapper.state_dict(),
            name,
        )
        yield straight, resumed


EPOCHS = [f'epoch_{i}.pth' for i in (1, 2, 3)]


@pytest.mark.parametrize('hook', HOOKS)
@pytest.mark.parametrize(
    'case',
    [RESNET, *(pytest.param(case, marks=pytest.mark.slow) for case in (SWIN, VIT))],
    ids=lambda case: case.name,
)
def test_resumed_training_is_the_same_bit_for_bit(case, hook, tmp_path):
    stages = 2 if case is VIT else 1
    hook = HOOKS[hook]
    if case is VIT and 'milestones' in hook:
        hook = dict(hook, milestones=[(1, 1), (2, -1)])
    config = toy_config(
        case.with_frozen(stages), case.scope, tmp_path, [hook], size=case.size
    )
    assert len(list(assert_resumes(config, EPOCHS, tmp_path))) == 3


@pytest.mark.parametrize(
    'hook',
    [dict(unfreeze_iter=8), dict(milestones=[(4, 0), (8, -1)], **RAMP)],
    ids=HOOKS,
)
def test_resumed_training_is_the_same_in_an_iteration_loop(hook, tmp_path):
    hook = dict(type='plugin.UnfreezeBackboneIterBasedHook', **hook)
    config = toy_config(RESNET.with_frozen(1), 'mmdet', tmp_path, [hook], size=64)
    config = iteration_based(config)
    names = [f'iter_{i}.pth' for i in (4, 8, 12)]
    assert len(list(assert_resumes(config, names, tmp_path))) == 3


def test_resuming_past_the_milestone_restores_what_trains(tmp_path, device):
    config = toy_config(
        RESNET.with_frozen(1), 'mmdet', tmp_path, [HOOKS['all at once']], size=64
    )
    train(config)
    resumed = resume(config, tmp_path / 'epoch_3.pth', tmp_path / 'resumed')
    assert bare(resumed).backbone.frozen_stages == -1
    assert 'backbone.conv1.weight' in recorder_of(resumed).trainable[1]
    assert 'backbone.bn1.running_mean' in recorder_of(resumed).moved(0, 1)


def test_a_resumed_run_may_have_other_milestones(tmp_path, device):
    config = toy_config(
        RESNET.with_frozen(1), 'mmdet', tmp_path, [HOOKS['all at once']], size=64
    )
    train(config)
    config.custom_hooks[0] = dict(EPOCH, milestones=[(3, 0)])
    resumed = resume(config, tmp_path / 'epoch_2.pth', tmp_path / 'resumed')
    recorder = recorder_of(resumed)
    stem, stage = 'backbone.conv1.weight', 'backbone.layer1.0.conv1.weight'
    assert [len({stem, stage} & recorder.moved(i, i + 1)) for i in (0, 1)] == [0, 1]
