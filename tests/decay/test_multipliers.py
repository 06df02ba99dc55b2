import pytest
import torch
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from plugin.decay.multipliers import MMENGINE_KEYS, check_keys, named_multipliers

LR, DECAY = 0.5, 0.25


class Model(nn.Module):
    """One of each kind of parameter that mmengine tells apart."""

    def __init__(self, deformable: nn.Module | None = None):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self.gamma = nn.Parameter(torch.ones(4))
        self.cls_token = nn.Parameter(torch.ones(1, 1, 4))
        self.conv = nn.Conv2d(3, 4, 3)
        self.depthwise = nn.Conv2d(4, 4, 3, groups=4)
        self.conv1d = nn.Conv1d(4, 4, 3)
        self.norms = nn.ModuleList(
            [
                nn.BatchNorm2d(4),
                nn.LayerNorm(4),
                nn.GroupNorm(2, 4),
                nn.InstanceNorm2d(4, affine=True),
            ]
        )
        self.head = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2, bias=False))
        if deformable is not None:
            self.deformable = deformable


def assert_as_mmengine(model: nn.Module, cfg: dict) -> None:
    optimizer = dict(type='AdamW', lr=LR, weight_decay=DECAY)
    constructor = DefaultOptimWrapperConstructor(dict(optimizer=optimizer), cfg)
    groups = constructor(model).optimizer.param_groups
    expected = {p: (g['lr'], g['weight_decay']) for g in groups for p in g['params']}
    found = {
        param: (LR * mults.lr, DECAY * (1 if mults.decay is None else mults.decay))
        for _, param, mults in named_multipliers(model, cfg)
    }
    assert found == expected


OPTIONS = [
    dict(bias_lr_mult=2.0),
    dict(bias_decay_mult=0.0),
    dict(norm_decay_mult=0.0),
    dict(flat_decay_mult=0.0),
    dict(dwconv_decay_mult=0.5),
    dict(norm_decay_mult=0.5, bias_decay_mult=0.25, flat_decay_mult=0.125),
    dict(dwconv_decay_mult=0.5, bias_decay_mult=0.25, bias_lr_mult=4.0),
    dict(custom_keys={'conv': dict(lr_mult=0.5, decay_mult=2.0)}),
    dict(custom_keys={'conv': dict(lr_mult=0.5), 'conv1d': dict(decay_mult=0.5)}),
    dict(custom_keys={'head.0': dict(lr_mult=2.0), 'head.1': dict(lr_mult=4.0)}),
    # Of two keys of one length, the first by the alphabet.
    dict(custom_keys={'onv.w': dict(lr_mult=2.0), 'conv.': dict(lr_mult=4.0)}),
    # mmengine puts a dot before a parameter of the model itself.
    dict(custom_keys={'.cls_token': dict(decay_mult=0.0), '.scale': dict(lr_mult=8.0)}),
    dict(custom_keys={'norms': dict(lr_mult=2.0)}, norm_decay_mult=0.0),
]


@pytest.mark.parametrize('cfg', OPTIONS, ids=str)
def test_multipliers_are_mmengine_s(cfg):
    assert_as_mmengine(Model(), cfg)


@pytest.mark.parametrize(
    'cfg',
    [
        dict(dcn_offset_lr_mult=0.5),
        dict(bias_lr_mult=2.0, dcn_offset_lr_mult=0.5, flat_decay_mult=0.0),
        dict(bias_decay_mult=0.0, norm_decay_mult=0.5),
    ],
    ids=str,
)
@pytest.mark.parametrize('name', ['DeformConv2dPack', 'ModulatedDeformConv2dPack'])
def test_multipliers_of_deformable_convolutions_are_mmengine_s(name, cfg):
    ops = pytest.importorskip('mmcv.ops', reason='mmcv.ops needs mmcv._ext')
    kwargs = dict(bias=True) if 'Modulated' in name else {}
    assert_as_mmengine(Model(getattr(ops, name)(4, 4, 3, **kwargs)), cfg)


def test_frozen_parameters_are_there_too():
    model = Model().requires_grad_(False)
    names = [name for name, _, _ in named_multipliers(model, dict(norm_decay_mult=0.0))]
    assert names == [name for name, _ in model.named_parameters()]


def test_a_shared_parameter_comes_once_under_its_first_name():
    model = Model()
    model.again = model.conv
    model.head[1].weight = nn.Parameter(torch.ones(4, 4))
    model.tied = nn.Linear(4, 4, bias=False)
    model.tied.weight = model.head[1].weight
    names = [name for name, _, _ in named_multipliers(model, {})]
    assert 'conv.weight' in names and 'head.1.weight' in names
    assert not [name for name in names if name.startswith(('again', 'tied'))]


def test_a_custom_key_carries_further_settings():
    cfg = dict(custom_keys={'conv.': dict(lr_mult=0.5, momentum=0.8)})
    found = {name: mults for name, _, mults in named_multipliers(Model(), cfg)}
    assert found['conv.weight'].extra == dict(momentum=0.8)
    assert found['conv.weight'].key == 'conv.'
    assert found['gamma'].extra == {} and found['gamma'].key is None


def test_the_config_is_left_as_it_was():
    cfg = dict(custom_keys={'conv': dict(lr_mult=0.5, decay_mult=2.0)})
    list(named_multipliers(Model(), cfg))
    assert cfg == dict(custom_keys={'conv': dict(lr_mult=0.5, decay_mult=2.0)})


def test_an_unknown_key_is_an_error_with_the_nearest_one():
    with pytest.raises(ValueError, match="'norm_decay_mul'.*mean norm_decay_mult"):
        check_keys(dict(norm_decay_mul=0.0), MMENGINE_KEYS, 'This')
    with pytest.raises(ValueError, match="'zzz', which This does not know. Allowed"):
        check_keys(dict(zzz=0.0), MMENGINE_KEYS, 'This')
