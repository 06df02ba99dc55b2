"""Every backbone of the catalogue keeps the contract, each in its smallest variant."""

import copy
import math
import pickle
import random

import numpy as np
import pytest
import torch

from plugin.backbones import CATALOGUE
from plugin.measure.features import feature_spec, measure
from plugin.registry import MODELS
from plugin.spec import FeatureSpec


def build(entry, **kwargs):
    torch.manual_seed(0)
    return MODELS.build(dict(type=f'plugin.{entry.name}', **entry.smallest, **kwargs))


def stages(entry):
    """Numbers of frozen stages that the class takes; by default each has a map."""
    return range(-1, len(build(entry).feature_spec().channels) + 1)


def frozen(backbone):
    return {n for n, p in backbone.named_parameters() if not p.requires_grad}


def without_gradient(backbone):
    """DDP fails on a trainable parameter that takes no part in the loss."""
    sum(x.mean() for x in backbone(torch.rand(2, 3, 64, 64))).backward()
    return [n for n, p in backbone.named_parameters() if p.grad is None]


def equal(state, other):
    return state.keys() == other.keys() and all(
        torch.equal(v, other[k]) for k, v in state.items()
    )


each = pytest.mark.parametrize('entry', CATALOGUE, ids=lambda entry: entry.name)
each_with_stages = pytest.mark.parametrize(
    ('entry', 'n'),
    [(entry, n) for entry in CATALOGUE for n in stages(entry)],
    ids=lambda value: str(getattr(value, 'name', value)),
)


@each
def test_declared_channels_and_strides_are_those_of_a_forward(entry):
    backbone = build(entry)
    assert isinstance(backbone.feature_spec(), FeatureSpec)
    assert backbone.feature_spec() == measure(backbone, 128)


@each
def test_declaration_follows_out_indices(entry):
    whole = build(entry).feature_spec()
    backbone = build(entry, out_indices=(1, -1))
    assert backbone.out_indices == (1, len(whole.channels) - 1)
    assert feature_spec(backbone) == measure(backbone, 128)
    assert feature_spec(backbone).channels == (whole.channels[1], whole.channels[-1])


@each
def test_maps_can_be_viewed_as_flat_rows(entry):
    for x in build(entry)(torch.rand(2, 3, 64, 96)):
        assert x.view(2, x.shape[1], -1).shape[2] == x.shape[2] * x.shape[3]


@each
@pytest.mark.parametrize('size', [(65, 101), (97, 64)], ids=str)
def test_odd_image_sizes_give_maps_of_their_stride(entry, size):
    backbone = build(entry).eval()
    with torch.no_grad():
        maps = backbone(torch.rand(1, 3, *size))
    for x, stride in zip(maps, backbone.feature_spec().strides, strict=True):
        for cells, pixels in zip(x.shape[2:], size, strict=True):
            assert cells in (pixels // stride, math.ceil(pixels / stride))


@each
def test_gradients_reach_every_trainable_parameter(entry):
    assert without_gradient(build(entry)) == []


@each
@pytest.mark.parametrize('out_indices', [(1, 2), (0,)], ids=str)
def test_no_parameter_is_left_over_beyond_the_last_map(entry, out_indices):
    assert without_gradient(build(entry, out_indices=out_indices)) == []


@each_with_stages
def test_frozen_stages_give_maps_without_a_graph_and_later_ones_with_it(entry, n):
    backbone = build(entry, frozen_stages=n)
    maps = backbone(torch.rand(2, 3, 64, 64))
    stem_is_a_stage = frozen(build(entry, frozen_stages=0)) == frozen(
        build(entry, frozen_stages=1)
    )
    n = max(n, 1) if stem_is_a_stage and n == 0 else n
    assert [x.requires_grad for x in maps] == [i >= n for i in range(len(maps))]


@each
def test_each_frozen_stage_adds_to_the_last_and_all_of_them_are_everything(entry):
    sets = [frozen(build(entry, frozen_stages=n)) for n in stages(entry)]
    assert sets[0] == set()
    assert sets[1] != set()
    assert all(a <= b for a, b in zip(sets, sets[1:], strict=False))
    assert sets[-1] == {name for name, _ in build(entry).named_parameters()}


@each_with_stages
def test_training_and_evaluating_in_turn_keeps_what_is_frozen(entry, n):
    backbone = build(entry, frozen_stages=n)
    names = frozen(backbone)
    modes = {name: m.training for name, m in backbone.named_modules()}
    for _ in range(2):
        backbone.eval()
        assert not any(m.training for m in backbone.modules())
        backbone.train()
    assert frozen(backbone) == names
    assert {name: m.training for name, m in backbone.named_modules()} == modes


@each_with_stages
def test_training_moves_no_tensor_of_a_frozen_stage(entry, n):
    backbone = build(entry, frozen_stages=n).train()
    before = copy.deepcopy(backbone.state_dict())
    params = [p for p in backbone.parameters() if p.requires_grad]
    maps = backbone(torch.rand(2, 3, 64, 64))
    if params:
        sum((x**2).mean() for x in maps).backward()
        torch.optim.SGD(params, lr=0.1, weight_decay=0.1).step()
    moved = {
        k for k, v in backbone.state_dict().items() if not torch.equal(v, before[k])
    }
    names = frozen(backbone)
    modules = {name.rpartition('.')[0] for name in names}
    assert not moved & names
    # Statistics of batch norms: buffers of modules whose parameters are frozen.
    assert not [k for k in moved if k.rpartition('.')[0] in modules]
    # Biases may have a gradient of exactly zero; weight decay moves every weight.
    live = {k for k, p in backbone.named_parameters() if p.requires_grad and p.ndim > 1}
    assert moved >= live


@each
def test_a_lower_frozen_stages_set_later_is_obeyed_by_train(entry):
    backbone = build(entry, frozen_stages=2)
    backbone.frozen_stages = 1
    backbone.requires_grad_(True)
    backbone.train()
    assert frozen(backbone) == frozen(build(entry, frozen_stages=1))


@each
def test_train_and_eval_return_the_backbone(entry):
    backbone = build(entry)
    assert backbone.train() is backbone
    assert backbone.eval() is backbone
    assert backbone.train(False) is backbone


@each
def test_a_copy_and_a_pickle_give_the_same_maps(entry):
    backbone = build(entry, frozen_stages=1).eval()
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = backbone(x)
        for twin in copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone)):
            assert frozen(twin) == frozen(backbone)
            for a, b in zip(twin(x), expected, strict=True):
                assert torch.equal(a, b)


@each
def test_init_weights_twice_is_as_good_as_once(entry):
    backbone = build(entry)
    backbone.init_weights()
    before = copy.deepcopy(backbone.state_dict())
    backbone.init_weights()
    assert equal(backbone.state_dict(), before)
    assert all(torch.isfinite(v).all() for v in before.values())


@each
def test_a_checkpoint_of_a_detector_loads_by_its_prefix(entry, tmp_path):
    donor = build(entry)
    for p in donor.parameters():
        torch.nn.init.normal_(p)
    path = tmp_path / 'detector.pth'
    state = {f'backbone.{k}': v for k, v in donor.state_dict().items()}
    torch.save(dict(state_dict=state, meta={}), path)
    backbone = build(
        entry,
        init_cfg=dict(type='Pretrained', checkpoint=str(path), prefix='backbone.'),
    )
    backbone.init_weights()
    assert equal(backbone.state_dict(), donor.state_dict())


@each
def test_the_same_seed_gives_the_same_weights(entry):
    assert equal(build(entry).state_dict(), build(entry).state_dict())


@each
@pytest.mark.parametrize('frozen_stages', [-2, 99])
def test_frozen_stages_out_of_range_is_refused_with_the_range(entry, frozen_stages):
    with pytest.raises(ValueError, match=rf'frozen_stages={frozen_stages} but .* -1'):
        build(entry, frozen_stages=frozen_stages)


@each
@pytest.mark.parametrize('out_indices', [(), (0, 99), (1, 0), (1, 1)], ids=str)
def test_wrong_out_indices_are_refused_with_what_there_is(entry, out_indices):
    with pytest.raises(ValueError, match='out_indices='):
        build(entry, out_indices=out_indices)


@each
def test_building_leaves_other_random_numbers_alone(entry):
    random.seed(0), np.random.seed(0)
    expected = random.random(), np.random.rand()
    random.seed(0), np.random.seed(0)
    build(entry)
    assert (random.random(), np.random.rand()) == expected


@each
def test_it_is_registered_under_our_scope_and_says_where_it_was_published(entry):
    cls = MODELS.get(f'plugin.{entry.name}')
    assert cls.__module__ == f'plugin.backbones.{entry.module}'
    assert entry.paper.startswith('arXiv:')
