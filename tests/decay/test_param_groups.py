import torch
from mmengine.optim import OptimWrapper
from torch import nn

from plugin.decay.param_groups import ParamGroup, param_groups, table


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


def test_the_table_has_a_line_a_group_and_a_sum():
    groups = [
        ParamGroup(0.000125, 0.0, 0, 2, 1234567, ('a', 'b'), True),
        ParamGroup(0.5, 0.05, None, 1, 3, ('c',), False),
    ]
    assert table(groups).split('\n') == [
        '  layer        lr  weight decay  tensors  parameters  frozen',
        '      0  0.000125             0        2   1,234,567     yes',
        'several       0.5          0.05        1           3',
        '    all                                3   1,234,570',
    ]
