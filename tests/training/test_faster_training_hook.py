"""FasterTrainingHook in a real Runner: what it switches on, and what stays the same."""

from pathlib import Path
from types import SimpleNamespace

import mmengine.optim.optimizer.amp_optimizer_wrapper as amp
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS, MODEL_WRAPPERS
from toy_training import bare, build_runner, toy_config

import plugin.det  # noqa: F401, reads the checkpoints that mmengine writes
from plugin.training import FasterTrainingHook
from plugin.training.faster_training_hook import use_channels_last
from plugin.weights.files.sources import read_checkpoint

CONVNEXT = dict(
    type='plugin.ConvNeXt',
    arch=dict(depths=[1, 1, 2, 1], channels=[8, 16, 24, 32]),
    layer_scale_init_value=1.0,
)
RESNET = dict(type='mmdet.ResNet', depth=18, base_channels=8, norm_eval=False)
FASTER = dict(type='plugin.FasterTrainingHook')
# All parts but the one that changes more than the last bits.
EXACT = dict(FASTER, bfloat16=False)


@HOOKS.register_module()
class Losses(Hook):
    """Notes losses, and in which type convolutions compute in and after training."""

    def __init__(self):
        self.losses, self.types = [], {True: set(), False: set()}

    def before_train(self, runner):
        convolution = next(
            m for m in bare(runner).modules() if isinstance(m, torch.nn.Conv2d)
        )
        convolution.register_forward_hook(
            lambda module, _, out: self.types[module.training].add(out.dtype)
        )

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(outputs['loss'].item())

    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.types[False] |= {out.dtype for out in outputs}


@pytest.fixture
def bfloat16_processor(monkeypatch):
    """autocast works on every processor; it is only slow on some."""
    monkeypatch.setattr(torch.cpu, '_is_avx512_bf16_supported', lambda: True)


def config(tmp_path, *hooks, backbone=CONVNEXT, epochs=2, **changes):
    cfg = toy_config(
        backbone, 'mmdet', tmp_path, [*hooks, dict(type='Losses')], epochs, size=64
    )
    cfg.log_level = 'INFO'
    for key, value in changes.items():
        cfg.merge_from_dict({key.replace('__', '.'): value})
    return cfg


def train(cfg):
    runner = build_runner(cfg)
    runner.train()
    return runner


def losses(runner):
    return next(h for h in runner.hooks if isinstance(h, Losses))


def log_line(runner):
    [file] = Path(runner.log_dir).glob('*.log')
    lines = file.read_text().splitlines()
    [line] = [line for line in lines if ' FasterTrainingHook: ' in line]
    return line.partition(' FasterTrainingHook: ')[2]


def tensors(checkpoint):
    """Every tensor of a checkpoint by its path."""
    found = {}

    def visit(path, value):
        if torch.is_tensor(value):
            found[path] = value
        elif isinstance(value, dict):
            for key, entry in value.items():
                visit(f'{path}.{key}', entry)

    for key in ('state_dict', 'ema_state_dict', 'optimizer'):
        visit(key, checkpoint.get(key))
    return found


def load(folder, name):
    return read_checkpoint(str(folder / name))


def convolutions(runner):
    return [p for p in bare(runner).parameters() if p.ndim == 4 and min(p.shape) > 1]


@pytest.mark.parametrize('backbone', [CONVNEXT, RESNET], ids=['ConvNeXt', 'ResNet'])
def test_the_loss_of_50_steps_is_that_of_float32_within_bfloat16(
    tmp_path, bfloat16_processor, backbone, device
):
    runners = []
    for hooks in ([], [FASTER]):
        cfg = config(tmp_path, *hooks, backbone=backbone, epochs=13)
        cfg.param_scheduler = None
        cfg.default_hooks.checkpoint = None
        runners.append(train(cfg))
    plain, faster = runners
    assert losses(faster).types == {True: {torch.bfloat16}, False: {torch.float32}}
    expected = torch.tensor(losses(plain).losses[:50])
    got = torch.tensor(losses(faster).losses[:50])
    assert expected[-4:].mean() < expected[:4].mean() / 2, expected
    # 2 ** -8 is the rounding of one number of bfloat16.
    torch.testing.assert_close(got, expected, rtol=0.05, atol=2**-8)
    assert not torch.equal(got, expected)


@pytest.mark.parametrize('optimizer', ['AdamW', 'SGD'])
def test_without_bfloat16_the_weights_are_those_of_a_plain_training(
    tmp_path, optimizer
):
    more = dict(
        optim_wrapper__optimizer=dict(
            type=optimizer, lr=1e-3, weight_decay=0.01, _delete_=True
        )
    )
    plain, faster = (train(config(tmp_path, *h, **more)) for h in ([], [EXACT]))
    assert convolutions(faster)
    for param in convolutions(faster):
        assert param.is_contiguous(memory_format=torch.channels_last)
    assert all(g['fused'] for g in faster.optim_wrapper.optimizer.param_groups)
    for (name, got), (_, expected) in zip(
        bare(faster).named_parameters(), bare(plain).named_parameters(), strict=True
    ):
        torch.testing.assert_close(
            got, expected, rtol=0, atol=1e-4, msg=lambda m, n=name: f'{n}: {m}'
        )


def test_a_line_says_what_is_on(tmp_path, bfloat16_processor, device):
    assert log_line(train(config(tmp_path, FASTER, epochs=1))) == (
        'channels_last on, bfloat16 on, fused on'
    )


def test_a_line_says_why_a_part_is_off(tmp_path, monkeypatch):
    for name in ('_is_avx512_bf16_supported', '_is_amx_tile_supported'):
        monkeypatch.setattr(torch.cpu, name, lambda: False)
    cfg = config(tmp_path, dict(FASTER, channels_last=False), epochs=1)
    cfg.optim_wrapper.optimizer = dict(type='RMSprop', lr=1e-3, weight_decay=0.0)
    assert log_line(train(cfg)) == (
        'channels_last off (channels_last=False), '
        'bfloat16 off (this CPU has neither avx512_bf16 nor AMX), '
        'fused off (RMSprop has no fused step)'
    )


def test_mixed_precision_of_the_users_own_is_left_alone(
    tmp_path, monkeypatch, bfloat16_processor, device
):
    # Without a GPU, AmpOptimWrapper cannot even be built.
    monkeypatch.setattr(amp, 'is_cuda_available', lambda: True)
    cfg = config(tmp_path, FASTER, epochs=1)
    cfg.optim_wrapper.update(type='AmpOptimWrapper', dtype='bfloat16', loss_scale=1.0)
    runner = train(cfg)
    assert log_line(runner) == (
        'channels_last on, '
        'bfloat16 off (AmpOptimWrapper has a precision of its own), '
        'fused on'
    )
    assert losses(runner).types == {True: {torch.bfloat16}, False: {torch.float32}}


def test_a_checkpoint_is_that_of_a_plain_training(tmp_path, device):
    ema = dict(type='EMAHook')
    saved = []
    for hooks in ([], [EXACT]):
        folder = tmp_path / str(len(hooks))
        train(config(folder, ema, *hooks, epochs=1))
        saved.append(load(folder, 'epoch_1.pth'))
    plain, faster = map(tensors, saved)
    assert plain.keys() == faster.keys()
    for name, value in faster.items():
        assert value.shape == plain[name].shape and value.dtype == plain[name].dtype
        assert value.is_contiguous(), name
    plain, faster = (c['optimizer']['param_groups'] for c in saved)
    assert plain == faster


@pytest.mark.parametrize('before', [[], [FASTER]], ids=['without', 'with'])
@pytest.mark.parametrize('after', [[], [FASTER]], ids=['without', 'with'])
def test_a_training_resumes_with_and_without(
    tmp_path, bfloat16_processor, before, after
):
    first = config(tmp_path / 'first', *before, epochs=1)
    train(first)
    second = config(tmp_path / 'second', *after, epochs=2)
    second.load_from, second.resume = str(tmp_path / 'first/epoch_1.pth'), True
    resumed = train(second)
    assert len(losses(resumed).losses) == 4
    if before == after:
        whole = train(config(tmp_path / 'whole', *before, epochs=2))
        assert losses(resumed).losses == losses(whole).losses[4:]
        got, expected = (
            tensors(load(tmp_path / folder, 'epoch_2.pth'))
            for folder in ('second', 'whole')
        )
        assert got.keys() == expected.keys()
        for name, value in got.items():
            assert torch.equal(value, expected[name]), name


def test_resuming_a_plain_training_lays_the_state_out_as_the_weights(tmp_path):
    train(config(tmp_path / 'first', epochs=1))
    resumed = {}
    for name, hooks in (('plain', []), ('faster', [EXACT])):
        cfg = config(tmp_path / name, *hooks, epochs=2)
        cfg.load_from, cfg.resume = str(tmp_path / 'first/epoch_1.pth'), True
        resumed[name] = train(cfg)
    optimizer = resumed['faster'].optim_wrapper.optimizer
    for param in convolutions(resumed['faster']):
        assert optimizer.state[param]['exp_avg'].stride() == param.stride()
    # A fused step over strides that differ would write to wrong places.
    for got, expected in zip(
        *(bare(resumed[name]).parameters() for name in ('faster', 'plain')),
        strict=True,
    ):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)


def test_averaged_weights_are_those_of_a_plain_training(tmp_path):
    ema = dict(type='EMAHook', momentum=0.1)
    plain, faster = (
        train(config(tmp_path, ema, *hooks, epochs=2)) for hooks in ([], [EXACT])
    )
    averages = [
        next(h for h in r.hooks if hasattr(h, 'ema_model')).ema_model.module
        for r in (plain, faster)
    ]
    for expected, got in zip(*(a.parameters() for a in averages), strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)


def test_gradients_are_accumulated_as_in_a_plain_training(tmp_path):
    more = dict(optim_wrapper__accumulative_counts=2)
    plain, faster = (train(config(tmp_path, *h, **more)) for h in ([], [EXACT]))
    torch.testing.assert_close(
        torch.tensor(losses(faster).losses),
        torch.tensor(losses(plain).losses),
        rtol=1e-5,
        atol=1e-6,
    )


@MODEL_WRAPPERS.register_module()
class Sharded(torch.nn.Module):
    """A wrapper that keeps the weights in a form of its own, as FSDP does."""

    def __init__(self, module):
        super().__init__()
        self.module = module


def test_weights_in_a_wrapper_other_than_ddp_are_left_alone():
    model = Sharded(torch.nn.Conv2d(4, 8, 3))
    assert use_channels_last(SimpleNamespace(model=model, hooks=[])) == 'off (Sharded)'
    assert model.module.weight.is_contiguous()


@HOOKS.register_module()
class Breaks(Hook):
    """Lets the model do in its forward pass what one of the parts forbids."""

    def __init__(self, how):
        self.how = how

    def before_train(self, runner):
        def forward(module, images, maps):
            if self.how == 'view':
                maps[0].transpose(2, 3).view(-1)
            elif module.training:
                eye = torch.eye(4)
                eye[torch.tensor([0])] = (eye @ eye)[:1]

        bare(runner).backbone.register_forward_hook(forward)


@pytest.mark.parametrize('part, how', [('channels_last', 'view'), ('bfloat16', 'put')])
def test_an_error_names_the_part_to_leave_out(tmp_path, bfloat16_processor, part, how):
    cfg = config(tmp_path, FASTER, dict(type='Breaks', how=how), epochs=1)
    with pytest.raises(RuntimeError, match=rf"'FasterTrainingHook', {part}=False\)"):
        train(cfg)


@pytest.mark.parametrize('part', ['channels_last', 'bfloat16', 'fused'])
def test_a_wrong_argument_says_what_to_write(part):
    with pytest.raises(
        ValueError, match=f"{part}='on' in FasterTrainingHook; write True or False"
    ):
        FasterTrainingHook(**{part: 'on'})
