import torch
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import nn

from plugin.decay.param_groups import ParamGroup, in_no_group, param_groups


class FreezesInTrain(nn.Module):
    """As mmdet's Swin: nothing is frozen before its train() is called."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.norm = nn.BatchNorm1d(4)
        self.last = nn.Linear(4, 2)

    def train(self, mode=True):
        super().train(mode)
        self.first.requires_grad_(False)
        self.norm.eval()
        return self


def test_groups_are_described_whoever_made_them():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    model[0].bias.requires_grad_(False)
    optimizer = torch.optim.SGD(
        [
            dict(params=list(model[0].parameters()), weight_decay=0.5, layer=3),
            dict(params=list(model[1].parameters()), lr=0.25),
        ],
        lr=0.125,
    )
    expected = [
        ParamGroup(0.125, 0.5, 3, 1, 16, ('0.weight',), False),
        ParamGroup(0.125, 0.5, 3, 1, 4, ('0.bias',), True),
        ParamGroup(0.25, 0.0, None, 2, 10, ('1.weight', '1.bias'), False),
    ]
    assert param_groups(model, optimizer) == expected
    assert param_groups(model, OptimWrapper(optimizer)) == expected


def test_what_is_frozen_by_train_counts_as_frozen_and_is_put_back():
    model = FreezesInTrain()
    model.norm.eval()
    model.last.bias.requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    frozen = {n for g in param_groups(model, optimizer) if g.frozen for n in g.names}
    assert frozen == {'first.weight', 'first.bias', 'last.bias'}
    assert {n for n, p in model.named_parameters() if not p.requires_grad} == {
        'last.bias'
    }
    assert model.training and not model.norm.training


def test_the_layer_is_read_from_what_each_constructor_writes():
    model = nn.ModuleList(nn.Linear(1, 1, bias=False) for _ in range(5))
    weights = [layer.weight for layer in model]
    settings = [
        dict(layer=3),
        dict(group_name='layer_11_no_decay'),
        dict(group_name='layer_0_decay'),
        dict(layer_id=7),
        dict(group_name='heads'),
    ]
    groups = [dict(params=[p], **own) for p, own in zip(weights, settings, strict=True)]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    assert [g.layer for g in param_groups(model, optimizer)] == [3, 11, 0, 7, None]


def test_several_optimizers_are_described_one_after_the_other():
    model = nn.ModuleList([nn.Linear(2, 3), nn.Linear(4, 5)])
    wrapper = OptimWrapperDict(
        first=OptimWrapper(torch.optim.SGD(model[0].parameters(), lr=0.5)),
        second=OptimWrapper(torch.optim.Adam(model[1].parameters(), lr=0.25)),
    )
    found = [(g.lr, g.params) for g in param_groups(model, wrapper)]
    assert found == [(0.5, 9), (0.25, 25)]


def test_what_is_in_no_group_is_told_with_whether_it_is_frozen():
    model = FreezesInTrain()
    optimizer = torch.optim.SGD([model.first.bias, model.last.weight], lr=1.0)
    assert in_no_group(model, param_groups(model, optimizer)) == {
        'first.weight': (16, True),
        'norm.weight': (4, False),
        'norm.bias': (4, False),
        'last.bias': (2, False),
    }
