import copy

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn
from toy_training import bare, build_runner, recorder_of, toy_config

from plugin.backbones.convnext import ConvNeXt
from plugin.decay.constructor import LayerDecayOptimWrapperConstructor
from plugin.decay.param_groups import param_groups
from plugin.weights.files.safe_loading import allow_mmengine_checkpoints

LR, DECAY = 1.0, 0.5


class Backbone(nn.Module):
    """A user's own: a stem, three stages of two blocks, and an output norm."""

    def __init__(self, frozen_stages=-1):
        super().__init__()
        self.frozen_stages = frozen_stages
        self.stem = nn.Conv2d(3, 4, 3)
        self.stages = nn.ModuleList(
            nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)) for _ in range(3)
        )
        self.norm = nn.BatchNorm2d(4)

    def train(self, mode=True):
        super().train(mode)
        if self.frozen_stages >= 0:
            self.stem.requires_grad_(False)
            self.stages[: self.frozen_stages].requires_grad_(False)
        return self


class Knowing(Backbone):
    """One that knows its layers: a stem, one layer, and a norm that is the head's."""

    def get_layer_depth(self, param_name, prefix=''):
        name = param_name.removeprefix(prefix)
        return dict(stem=0, stages=1, norm=2)[name.partition('.')[0]], 3


class Model(nn.Module):
    def __init__(self, **backbones: nn.Module):
        super().__init__()
        for name, backbone in backbones.items():
            self.add_module(name, backbone)
        self.head = nn.Linear(4, 2)


def build(model: nn.Module, optimizer: dict | None = None, **paramwise):
    default = dict(type='AdamW', lr=LR, weight_decay=DECAY)
    config = dict(
        constructor='plugin.LayerDecayOptimWrapperConstructor',
        optimizer=optimizer or default,
        paramwise_cfg=paramwise,
    )
    return build_optim_wrapper(model, ConfigDict(config))


def settings(model: nn.Module, wrapper) -> dict[str, tuple[float, float]]:
    """(rate, weight decay) of each parameter by its name."""
    names = {param: name for name, param in model.named_parameters()}
    return {
        names[param]: (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
        for param in group['params']
    }


def test_the_name_is_found_in_the_registry_of_scope_plugin():
    name = 'plugin.LayerDecayOptimWrapperConstructor'
    found = OPTIM_WRAPPER_CONSTRUCTORS.get(name)
    assert found is LayerDecayOptimWrapperConstructor


def test_each_layer_has_the_rate_of_the_next_times_the_decay():
    model = Model(backbone=Backbone())
    found = settings(model, build(model, decay_rate=0.5))
    rates = {name: rate for name, (rate, _) in found.items() if name.endswith('weight')}
    assert rates == {
        'backbone.stem.weight': 0.5**7,
        'backbone.stages.0.0.weight': 0.5**6,
        'backbone.stages.0.1.weight': 0.5**5,
        'backbone.stages.1.0.weight': 0.5**4,
        'backbone.stages.1.1.weight': 0.5**3,
        'backbone.stages.2.0.weight': 0.5**2,
        'backbone.stages.2.1.weight': 0.5,
        'backbone.norm.weight': 1.0,
        'head.weight': 1.0,
    }


def test_stage_wise_each_stage_has_the_rate_of_the_next_times_the_decay():
    model = Model(backbone=Backbone())
    found = settings(model, build(model, decay_rate=0.5, decay_type='stage_wise'))
    names = ['stem', 'stages.0.0', 'stages.0.1', 'stages.2.1', 'norm']
    rates = [found[f'backbone.{name}.weight'][0] for name in names]
    assert rates == [0.5**4, 0.5**3, 0.5**3, 0.5, 1.0]


def test_one_dimension_and_biases_have_no_weight_decay():
    model = Model(backbone=Backbone())
    model.backbone.bias = nn.Parameter(torch.ones(1, 4, 1, 1))
    model.scale = nn.Parameter(torch.ones(()))
    found = settings(model, build(model, decay_rate=0.5))
    without = {name for name, (_, decay) in found.items() if decay == 0}
    assert without == {
        name
        for name, param in model.named_parameters()
        if param.ndim == 1 or name.endswith('.bias')
    }
    assert {decay for _, decay in found.values()} == {0.0, DECAY}
    assert found['scale'] == (1.0, DECAY)


def test_there_are_as_few_groups_as_pairs_of_rate_and_decay():
    model = Model(backbone=Backbone())
    wrapper = build(model, decay_rate=0.5)
    groups = wrapper.optimizer.param_groups
    assert len(groups) == 8 * 2 == len(set(settings(model, wrapper).values()))
    assert len(build(model, decay_rate=1).optimizer.param_groups) == 2


def test_the_layer_of_a_group_is_none_when_it_has_several():
    model = Model(backbone=Backbone())
    groups = build(model, decay_rate=0.5).optimizer.param_groups
    assert [group['layer'] for group in groups] == sorted([*range(8), *range(8)])
    groups = build(model, decay_rate=1).optimizer.param_groups
    assert [group['layer'] for group in groups] == [None, None]


def test_mmengine_s_options_act_on_top():
    model = Model(backbone=Backbone())
    found = settings(
        model,
        build(
            model,
            decay_rate=0.5,
            norm_decay_mult=0.25,
            bias_decay_mult=1.0,
            bias_lr_mult=2.0,
            custom_keys={
                'stages.0': dict(lr_mult=0.5, decay_mult=2.0),
                'stages.2.1': dict(lr_mult=4.0),
            },
        ),
    )
    assert found['backbone.norm.weight'] == (1.0, DECAY / 4)
    assert found['backbone.stem.bias'] == (2 * 0.5**7, DECAY)
    assert found['backbone.stages.0.0.bias'] == (0.5 * 0.5**6, 2 * DECAY)
    assert found['backbone.stages.0.1.weight'] == (0.5 * 0.5**5, 2 * DECAY)
    # A key without decay_mult leaves the decay at what it is without the key.
    assert found['backbone.stages.2.1.weight'] == (4 * 0.5, DECAY)
    assert found['backbone.stages.2.1.bias'] == (4 * 0.5, 0.0)
    assert found['backbone.stages.1.0.weight'] == (0.5**4, DECAY)


def test_further_settings_of_a_custom_key_make_a_group():
    model = Model(backbone=Backbone())
    custom_keys = {'head.weight': dict(betas=(0.5, 0.5)), 'stem': dict(lr=0.25)}
    wrapper = build(model, decay_rate=0.5, custom_keys=custom_keys)
    groups = {
        name: g for g in wrapper.optimizer.param_groups for name in g['param_names']
    }
    assert groups['head.weight']['param_names'] == ['head.weight']
    assert groups['head.weight']['betas'] == (0.5, 0.5)
    assert groups['head.bias']['betas'] == (0.9, 0.999)
    assert groups['backbone.stem.weight']['lr'] == 0.25


def test_a_shared_parameter_is_there_once():
    model = Model(backbone=Backbone())
    model.again = nn.Linear(4, 2)
    model.again.weight = model.head.weight
    wrapper = build(model, decay_rate=0.5, bypass_duplicate=True)
    params = [p for group in wrapper.optimizer.param_groups for p in group['params']]
    assert len(params) == len(set(params)) == sum(1 for _ in model.parameters())


def test_frozen_parameters_are_in_with_their_rates_and_decays():
    expected = build(model := Model(backbone=Backbone()), decay_rate=0.5)
    expected = settings(model, expected)
    model = Model(backbone=Backbone(frozen_stages=2)).train()
    assert settings(model, build(model, decay_rate=0.5)) == expected


@pytest.mark.parametrize('called', [True, False])
def test_frozen_groups_are_apart_by_layer_also_before_train_was_called(called):
    model = Model(backbone=Backbone(frozen_stages=1))
    if called:
        model.train()
    flags = {name: param.requires_grad for name, param in model.named_parameters()}
    groups = build(model, decay_rate=1).optimizer.param_groups
    frozen = [(g['layer'], len(g['params'])) for g in groups if g['frozen']]
    assert sorted(frozen) == [(0, 1), (0, 1), (1, 1), (1, 1), (2, 1), (2, 1)]
    assert sum(not group['frozen'] for group in groups) == 2
    assert flags == {n: param.requires_grad for n, param in model.named_parameters()}


def test_two_backbones_have_rates_of_their_own():
    model = Model(backbone=Backbone(), depth_backbone=Knowing())
    wrapper = build(model, decay_rate=0.5)
    found = settings(model, wrapper)
    names = [
        'backbone.stem',
        'depth_backbone.stem',
        'depth_backbone.stages.2.1',
        'head',
    ]
    rates = [found[f'{name}.weight'][0] for name in names]
    assert rates == [0.5**7, 0.5**2, 0.5, 1.0]
    (head,) = {g['layer'] for g in wrapper.optimizer.param_groups if g['lr'] == 1}
    assert head == 7


@pytest.mark.parametrize('depth', [1, 3])
def test_a_wrapped_model_is_unwrapped(depth):
    model = Model(backbone=Backbone())
    expected = settings(model, build(model, decay_rate=0.5))
    wrapped = model
    for _ in range(depth):
        wrapped = nn.DataParallel(wrapped)
    wrapper = build(wrapped, decay_rate=0.5)
    assert settings(model, wrapper) == expected
    names = {name for g in wrapper.optimizer.param_groups for name in g['param_names']}
    assert names == set(expected)


def test_a_wrapped_backbone_has_the_rates_of_the_bare_one():
    model = Model(backbone=Backbone())
    expected = settings(model, build(model, decay_rate=0.5))
    model.backbone = nn.DataParallel(model.backbone)
    found = settings(model, build(model, decay_rate=0.5))
    assert found == {
        name.replace('backbone.', 'backbone.module.'): pair
        for name, pair in expected.items()
    }


@pytest.mark.parametrize('kwargs', [dict(decay_rate=0.5), dict(layer_decay_rate=0.5)])
def test_the_decay_rate_has_two_names(kwargs):
    model = Model(backbone=Backbone())
    found = settings(model, build(model, **kwargs))
    assert found['backbone.stages.2.1.weight'][0] == 0.5


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(), r'needs a decay rate; write paramwise_cfg=dict\(decay_rate=0.9\)'),
        (dict(decay_rate=0), 'decay_rate=0 must be a number above 0 and up to 1'),
        (dict(decay_rate=1.5), 'decay_rate=1.5 must be'),
        (dict(layer_decay_rate='0.9'), "layer_decay_rate='0.9' must be"),
        (dict(decay_rate=True), 'decay_rate=True must be'),
        (
            dict(decay_rate=0.9, layer_decay_rate=0.8),
            '0.9 and layer_decay_rate=0.8 mean',
        ),
        (
            dict(decay_rate=0.9, decay_type='layerwise'),
            "'layerwise' must be 'layer_wise'",
        ),
        (dict(decay_rates=0.9), "'decay_rates', .* did you mean decay_rate"),
        (dict(decay_rate=0.9, num_layer=6), 'did you mean num_layers'),
        (dict(decay_rate=0.9, norm_decay=0), 'did you mean norm_decay_mult'),
        (
            dict(decay_rate=0.9, num_layers=12),
            'num_layers=12 but backbone .*=6, or leave',
        ),
    ],
    ids=str,
)
def test_a_mistake_is_answered_with_what_to_write(kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(Model(backbone=Backbone()), **kwargs)


def test_one_decay_rate_under_both_names_is_fine():
    build(Model(backbone=Backbone()), decay_rate=0.9, layer_decay_rate=0.9)


@pytest.mark.parametrize('decay_type', ['layer_wise', 'stage_wise'])
@pytest.mark.parametrize(('arch', 'right', 'wrong'), [('tiny', 6, 12), ('base', 12, 6)])
def test_num_layers_of_convnext_is_checked_in_both_types(
    arch, right, wrong, decay_type
):
    with torch.device('meta'):
        model = Model(backbone=ConvNeXt(arch))
    build(model, decay_rate=0.9, decay_type=decay_type, num_layers=right)
    with pytest.raises(
        ValueError, match=f'num_layers={wrong} but .*num_layers={right}'
    ):
        build(model, decay_rate=0.9, decay_type=decay_type, num_layers=wrong)


def test_a_learning_rate_is_needed():
    with pytest.raises(ValueError, match='optim_wrapper.optimizer has none'):
        build(Model(backbone=Backbone()), dict(type='AdamW'), decay_rate=0.9)


def test_what_mmyolo_s_constructor_alone_takes_is_an_error():
    optimizer = dict(type='SGD', lr=0.01, batch_size_per_gpu=16)
    with pytest.raises(ValueError, match='batch_size_per_gpu is for the YOLOv5'):
        build(Model(backbone=Backbone()), optimizer, decay_rate=0.9)


def test_the_optimizer_s_own_weight_decay_holds_when_none_is_given():
    model = Model(backbone=Backbone())
    found = settings(model, build(model, dict(type='AdamW', lr=1.0), decay_rate=0.9))
    assert {decay for _, decay in found.values()} == {0.0, 0.01}


@pytest.fixture
def logged(monkeypatch) -> list[str]:
    lines = []
    monkeypatch.setattr(
        'plugin.decay.constructor.print_log', lambda text, **_: lines.append(text)
    )
    return lines


def test_a_table_is_logged_once(logged):
    model = Model(backbone=Backbone(frozen_stages=0))
    build(
        model,
        decay_rate=0.5,
        decay_type='stage_wise',
        custom_keys={'head': dict(lr_mult=2.0), 'nowhere': dict(lr_mult=2.0)},
    )
    (text,) = logged
    assert text.split('\n') == [
        'LayerDecayOptimWrapperConstructor: stage_wise, decay_rate=0.5',
        'backbone (Backbone): 3 layers, from its stages',
        'layer 0 is the stem, 4 the head',
        "no parameter is governed by custom_keys ['nowhere']",
        'layer      lr  weight decay  tensors  parameters  frozen',
        '    0  0.0625             0        1           4     yes',
        '    0  0.0625           0.5        1         108     yes',
        '    1   0.125             0        2           8',
        '    1   0.125           0.5        2         288',
        '    2    0.25             0        2           8',
        '    2    0.25           0.5        2         288',
        '    3     0.5             0        2           8',
        '    3     0.5           0.5        2         288',
        '    4       1             0        2           8',
        '    4       2             0        1           2',
        '    4       2           0.5        1           8',
        '  all                             18       1,018',
    ]


def test_only_the_main_process_logs(logged, monkeypatch):
    monkeypatch.setattr('plugin.decay.constructor.is_main_process', lambda: False)
    build(Model(backbone=Backbone()), decay_rate=0.5)
    assert logged == []


def test_groups_keep_the_names_of_their_parameters():
    model = Model(backbone=Backbone())
    wrapper = build(model, decay_rate=0.5)
    for group, described in zip(
        wrapper.optimizer.param_groups, param_groups(model, wrapper), strict=True
    ):
        assert tuple(group['param_names']) == described.names
        assert group['lr_scale'] == group['lr'] / LR


CONVNEXT = dict(
    type='plugin.ConvNeXt',
    arch=dict(depths=[1, 1, 3, 1], channels=[4, 8, 8, 8]),
    out_indices=(1, 2, 3),
    layer_scale_init_value=1.0,
)


def decaying(work_dir, hooks=(), **backbone):
    """A training of 4 epochs with layer decay, a schedule and AdamW."""
    config = toy_config({**CONVNEXT, **backbone}, 'mmengine', work_dir, list(hooks))
    config.optim_wrapper.constructor = 'plugin.LayerDecayOptimWrapperConstructor'
    config.optim_wrapper.paramwise_cfg = dict(decay_rate=0.5)
    return config


UNFREEZE = dict(type='plugin.UnfreezeBackboneEpochBasedHook', unfreeze_epoch=2)


@pytest.mark.parametrize('hooks', [(), (UNFREEZE,)], ids=['plain', 'unfreezing'])
@pytest.mark.parametrize('epoch', [1, 3])
def test_resuming_continues_bit_identically(tmp_path, hooks, epoch):
    frozen_stages = 2 if hooks else -1
    straight = decaying(tmp_path / 'straight', hooks, frozen_stages=frozen_stages)
    runner = build_runner(straight)
    runner.train()

    allow_mmengine_checkpoints()
    config = decaying(tmp_path / 'resumed', hooks, frozen_stages=frozen_stages)
    config.resume = True
    config.load_from = str(tmp_path / 'straight' / f'epoch_{epoch}.pth')
    resumed = build_runner(config)
    resumed.train()

    expected = bare(runner).state_dict()
    for name, value in bare(resumed).state_dict().items():
        assert torch.equal(value, expected[name]), name
    one, other = (r.optim_wrapper.optimizer.state_dict() for r in (runner, resumed))
    assert one['param_groups'] == other['param_groups']
    for index, state in one['state'].items():
        for key, value in state.items():
            assert torch.equal(value, other['state'][index][key])


def test_frozen_weights_stand_still_then_move_at_the_rate_of_their_layer(tmp_path):
    config = decaying(tmp_path, [UNFREEZE], frozen_stages=2)
    runner = build_runner(config)
    runner.train()
    recorder = recorder_of(runner)
    frozen = ('backbone.downsample_layers.0', 'backbone.stages.0', 'backbone.stages.1')
    for name in frozen:
        assert not recorder.moved(0, 2, name)
        assert recorder.moved(2, 3, name)
    groups = runner.optim_wrapper.optimizer.param_groups
    assert {g['layer'] for g in groups if g['frozen']} == {0, 1, 2, 7}
    # The schedule has divided all rates by ten.
    for group in groups:
        assert group['lr'] == pytest.approx(1e-3 * 0.5 ** (7 - group['layer']) / 10)


def test_building_leaves_config_and_model_as_they_were():
    model = Model(backbone=Backbone(frozen_stages=1))
    model.backbone.norm.eval()
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    paramwise = dict(decay_rate=0.5, custom_keys={'head': dict(lr_mult=2.0)})
    build(model, **paramwise)
    assert paramwise == dict(decay_rate=0.5, custom_keys={'head': dict(lr_mult=2.0)})
    assert modes == [module.training for module in model.modules()]
    assert all(torch.equal(v, before[n]) for n, v in model.state_dict().items())
