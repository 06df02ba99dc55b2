"""Adapters in a real Runner: mixed precision, averages, decay, unfreezing, resuming."""

import functools
import os

import mmdet.models  # noqa: F401
import mmengine.optim.optimizer.amp_optimizer_wrapper as amp
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from toy_training import bare, build_runner, toy_config, train

from plugin.decay.layer_depth import layer_depths
from plugin.registry import MODELS
from plugin.weights.files.safe_loading import allow_mmengine_checkpoints

pytest.importorskip('peft', reason='peft, an extra, is not installed')

VIT = dict(type='plugin.TIMMBackbone', model_name='test_vit', out_indices=(-1,))
CONVNEXT = dict(type='plugin.TIMMBackbone', model_name='test_convnext')
LORA = dict(peft_type='LORA', r=2, target_modules=['qkv'])
UNFREEZE = dict(type='plugin.UnfreezeBackboneEpochBasedHook', unfreeze_epoch=2)


def adapted(backbone=VIT, peft_config=LORA):
    return dict(type='plugin.PEFTBackbone', backbone=backbone, peft_config=peft_config)


@pytest.fixture
def from_file(tmp_path):
    """A backbone with adapters whose own weights are in a file."""
    path = tmp_path / 'vit.pth'
    torch.save(MODELS.build(VIT).state_dict(), path)
    return adapted(dict(VIT, init_cfg=dict(type='Pretrained', checkpoint=str(path))))


def config(backbone, folder, *hooks, epochs=3):
    return toy_config(backbone, 'mmdet', folder, list(hooks), epochs)


def adapters_of(names):
    return {name for name in names if '.lora_' in name}


def resumed(cfg, checkpoint, folder):
    allow_mmengine_checkpoints()
    cfg = cfg.copy()
    cfg.update(load_from=str(checkpoint), resume=True, work_dir=str(folder))
    runner = build_runner(cfg)
    runner.train()
    return runner


def assert_same(one, two):
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, two[name]), name


def assert_same_training(one, two):
    assert_same(dict(bare(one).named_parameters()), dict(bare(two).named_parameters()))
    first, second = (r.optim_wrapper.optimizer.state_dict() for r in (one, two))
    assert first['param_groups'] == second['param_groups']
    assert first['state'].keys() == second['state'].keys()
    for key, state in first['state'].items():
        assert_same(state, second['state'][key])


def test_mixed_precision_trains_the_adapters_alone(tmp_path, monkeypatch):
    # Both ask for a GPU, which this machine need not have.
    monkeypatch.setattr(amp, 'is_cuda_available', lambda: True)
    monkeypatch.setattr(
        amp, 'GradScaler', functools.partial(torch.amp.GradScaler, 'cpu')
    )
    cfg = config(adapted(), tmp_path, epochs=1)
    cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype='bfloat16')
    runner, recorder = train(cfg)
    moved = recorder.moved(0, 1)
    assert moved == adapters_of(moved) != set()
    assert all(p.isfinite().all() for p in bare(runner).parameters())


def test_the_average_follows_the_adapters_and_is_saved_with_them(from_file, tmp_path):
    cfg = config(from_file, tmp_path, dict(type='EMAHook'), epochs=1)
    runner, recorder = train(cfg)
    saved = torch.load(tmp_path / 'epoch_1.pth', weights_only=False)
    average = {
        name.removeprefix('module.'): tensor
        for name, tensor in saved['ema_state_dict'].items()
    }
    moved = recorder.moved(0, 1)
    names = adapters_of(saved['state_dict'])
    assert names == adapters_of(average) == moved
    # mmengine writes the averages as the weights, and the weights as the averages.
    trained = bare(runner).state_dict()
    assert all(torch.equal(average[name], trained[name]) for name in names)
    assert any(not torch.equal(average[n], saved['state_dict'][n]) for n in names)
    assert not any('patch_embed' in name for name in saved['state_dict'])


def test_an_average_begun_before_unfreezing_can_be_saved_after_it(from_file, tmp_path):
    hooks = [UNFREEZE, dict(type='EMAHook', interval=3)]
    cfg = config(from_file, tmp_path, *hooks)
    runner, _ = train(cfg)
    again = resumed(cfg, tmp_path / 'epoch_2.pth', tmp_path / 'resumed')
    assert_same_training(runner, again)


def test_the_hook_unfreezes_the_backbone_while_the_adapters_train_on(
    from_file, tmp_path
):
    runner, recorder = train(config(from_file, tmp_path, UNFREEZE))
    before = [recorder.moved(i, i + 1) for i in (0, 1)]
    assert before == [adapters_of(before[0])] * 2 and before[0]
    after = recorder.trainable[3]
    assert {n for n in after if n.startswith('backbone.')} == {
        f'backbone.{n}' for n, _ in bare(runner).backbone.named_parameters()
    }
    theirs = torch.load(from_file['backbone']['init_cfg']['checkpoint'])
    trained = recorder.states[3]
    for name, tensor in theirs.items():
        name = name.replace('.qkv.', '.qkv.base_layer.')
        assert not torch.equal(trained[f'backbone.backbone.{name}'], tensor), name
    assert 'backbone.left_out' in recorder.states[2]
    assert 'backbone.left_out' not in recorder.states[3]


@pytest.mark.parametrize('hooks', [[], [UNFREEZE]], ids=['frozen', 'unfrozen'])
def test_resumed_training_is_the_same_bit_for_bit(hooks, from_file, tmp_path):
    cfg = config(from_file, tmp_path, *hooks)
    straight, _ = train(cfg)
    for epoch in (1, 2):
        checkpoint = tmp_path / f'epoch_{epoch}.pth'
        again = resumed(cfg, checkpoint, tmp_path / f'resumed_{epoch}')
        assert_same_training(straight, again)


@HOOKS.register_module()
class Killed(Hook):
    """Ends the process in the middle of the second epoch, as `kill -9` does."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter == 5:
            os._exit(9)


def test_a_killed_run_that_is_resumed_ends_with_the_same_adapters(from_file, tmp_path):
    straight, _ = train(config(from_file, tmp_path / 'straight'))
    cfg = config(from_file, tmp_path / 'killed', dict(type='Killed'))
    child = os.fork()
    if not child:
        train(cfg)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    last = (tmp_path / 'killed/last_checkpoint').read_text()
    assert last.endswith('epoch_1.pth')
    cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook.type != 'Killed']
    again = resumed(cfg, last, tmp_path / 'killed')
    assert_same_training(straight, again)


@pytest.mark.parametrize('decay_type', ['layer_wise', 'stage_wise'])
@pytest.mark.parametrize(
    ('backbone', 'target'),
    [(VIT, 'qkv'), (CONVNEXT, 'fc1')],
    ids=['vit', 'convnext'],
)
def test_an_adapter_decays_as_its_layer_in_both_types(backbone, target, decay_type):
    plain = layer_depths(MODELS.build(backbone), decay_type)
    module = MODELS.build(adapted(backbone, dict(LORA, target_modules=[target])))
    found = layer_depths(module, decay_type)
    assert found.head == plain.head
    assert set(found.depths) == {name for name, _ in module.named_parameters()}
    for name, depth in found.depths.items():
        layer, is_adapter, _ = name.removeprefix('backbone.').partition('.lora_')
        layer = f'{layer}.weight' if is_adapter else layer.replace('.base_layer', '')
        assert depth == plain.depths[layer], name


def test_the_rates_of_adapters_decay_with_their_depth(tmp_path):
    cfg = config(adapted(), tmp_path, epochs=1)
    del cfg.optim_wrapper.paramwise_cfg
    cfg.optim_wrapper.update(
        constructor='plugin.LayerDecayOptimWrapperConstructor',
        paramwise_cfg=dict(decay_rate=0.5),
    )
    cfg.param_scheduler = None
    runner, recorder = train(cfg)
    names = {id(p): n for n, p in bare(runner).named_parameters()}
    rates = {
        names[id(p)]: group['lr'] / 1e-3
        for group in runner.optim_wrapper.optimizer.param_groups
        for p in group['params']
    }
    depths = layer_depths(bare(runner).backbone)
    for name, depth in depths.depths.items():
        assert rates[f'backbone.{name}'] == 0.5 ** (depths.head - depth), name
    assert adapters_of(recorder.moved(0, 1))
