import pytest
import torch
from freezable import FIRST, Case, parametrize
from mmengine.model import BaseModule
from torch import nn

from plugin.freezing.frozen_stages import StageFreezer

RESNET = FIRST[0]


def frozen_by_the_class(case: Case, stages: int) -> set[str]:
    """Return what a backbone built with this value has frozen when training starts."""
    backbone = case.build(stages)
    backbone.train()
    return {name for name, p in backbone.named_parameters() if not p.requires_grad}


@parametrize()
def test_each_value_freezes_what_it_freezes_in_a_new_backbone(case):
    freezer = StageFreezer(case.build(case.values[-1]))
    for stages in case.values:
        assert freezer.at(stages).params == frozen_by_the_class(case, stages), stages


@parametrize()
def test_nothing_frozen_is_the_value_that_the_class_documents(case):
    freezer = StageFreezer(case.build(case.values[0]))
    assert freezer.nothing == case.nothing
    assert not frozen_by_the_class(case, freezer.nothing)


@parametrize()
def test_unfreezing_leaves_the_backbone_as_if_built_with_nothing_frozen(case):
    backbone, free = case.build(case.values[-1]), case.build(case.nothing)
    backbone.train()
    free.train()
    freezer = StageFreezer(backbone)
    freezer.apply(freezer.at(freezer.nothing))
    backbone.train()
    flags = [p.requires_grad for p in backbone.parameters()]
    assert flags == [p.requires_grad for p in free.parameters()]
    modes = [m.training for m in backbone.modules()]
    assert modes == [m.training for m in free.modules()]


@parametrize()
def test_finding_out_changes_nothing(case):
    def everything(module):
        return (
            module.frozen_stages,
            [p.requires_grad for p in module.parameters()],
            [m.training for m in module.modules()],
        )

    backbone = case.build(case.values[0])
    before = everything(backbone)
    state = {name: value.clone() for name, value in backbone.state_dict().items()}
    freezer = StageFreezer(backbone)
    for stages in case.values:
        freezer.at(stages)
    assert everything(backbone) == before
    after = backbone.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in state.items())


@pytest.mark.parametrize('stages', [0, 1, 4])
def test_norms_that_norm_cfg_freezes_are_never_unfrozen(stages):
    backbone = RESNET.build(stages, norm_cfg=dict(type='BN', requires_grad=False))
    freezer = StageFreezer(backbone)
    freezer.apply(freezer.at(freezer.nothing))
    frozen = {name for name, p in backbone.named_parameters() if not p.requires_grad}
    norms = {
        f'{name}.{part}'
        for name, module in backbone.named_modules()
        if isinstance(module, nn.BatchNorm2d)
        for part in ('weight', 'bias')
    }
    assert frozen == norms


def test_a_parameter_outside_of_the_stages_stays_frozen():
    backbone = RESNET.build(1)
    backbone.layer4[0].conv1.weight.requires_grad_(False)
    freezer = StageFreezer(backbone)
    freezer.apply(freezer.at(-1))
    frozen = {name for name, p in backbone.named_parameters() if not p.requires_grad}
    assert frozen == {'layer4.0.conv1.weight'}


def test_keep_frozen_names_what_can_not_be_told():
    case = Case(
        'MoCoV3ViT',
        'mmpretrain',
        dict(
            type='MoCoV3ViT',
            arch=dict(
                embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32
            ),
            img_size=64,
            patch_size=16,
            stop_grad_conv1=True,
        ),
    )
    backbone = case.build(1)
    freezer = StageFreezer(backbone, keep_frozen=['patch_embed.projection'])
    freezer.apply(freezer.at(-1))
    frozen = {name for name, p in backbone.named_parameters() if not p.requires_grad}
    assert frozen == {'patch_embed.projection.weight', 'patch_embed.projection.bias'}


def test_keep_frozen_that_matches_nothing_is_refused():
    with pytest.raises(ValueError, match="keep_frozen='pos_embd' is part of no"):
        StageFreezer(RESNET.build(1), keep_frozen=['pos_embd'])


def test_a_norm_that_the_class_forgets_is_held_in_eval_mode():
    # mmdet's MobileNetV2 freezes the weights of its first norm only.
    case = Case(
        '', 'mmdet', dict(type='MobileNetV2', widen_factor=0.25, norm_eval=False)
    )
    backbone = case.build(0)
    backbone.train()
    assert backbone.conv1.bn.training
    freezer = StageFreezer(backbone)
    freezer.hold(freezer.configured)
    assert not backbone.conv1.bn.training


class Own(BaseModule):
    """A user's backbone: a norm and two convolutions, frozen in a way of its own."""

    def __init__(self, frozen_stages=-1):
        super().__init__()
        self.stages = nn.ModuleList(
            [nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 3)]
        )
        self.frozen_stages = frozen_stages


class OwnSlices(Own):
    """Here -1 freezes all but the last stage, and 0 nothing."""

    def train(self, mode=True):
        super().train(mode)
        for stage in self.stages[: self.frozen_stages]:
            stage.eval().requires_grad_(False)


class OwnInConstructor(Own):
    def __init__(self, frozen_stages=-1):
        super().__init__(frozen_stages)
        for stage in self.stages[: max(frozen_stages, 0)]:
            stage.eval().requires_grad_(False)


class OwnStemAlways(Own):
    def train(self, mode=True):
        super().train(mode)
        for stage in self.stages[: max(self.frozen_stages, 1)]:
            stage.requires_grad_(False)


class OwnWithoutFreezing(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)


def test_minus_one_is_not_taken_for_nothing_frozen():
    freezer = StageFreezer(OwnSlices(2))
    assert freezer.nothing == 0
    assert freezer.configured.params == {
        'stages.0.weight', 'stages.0.bias', 'stages.1.weight', 'stages.1.bias',
    }  # fmt: skip


def test_a_backbone_that_freezes_in_its_constructor_is_held_and_unfrozen():
    backbone = OwnInConstructor(2)
    freezer = StageFreezer(backbone)
    backbone.train()
    freezer.hold(freezer.configured)
    assert [stage.training for stage in backbone.stages] == [False, False, True]
    freezer.apply(freezer.at(-1))
    assert all(p.requires_grad for p in backbone.parameters())
    assert all(stage.training for stage in backbone.stages)


def test_a_backbone_that_freezes_in_its_constructor_cannot_unfreeze_in_steps():
    freezer = StageFreezer(OwnInConstructor(2))
    with pytest.raises(ValueError, match='froze 2 stages in its constructor'):
        freezer.at(1)


def test_a_backbone_that_always_freezes_something_is_refused():
    with pytest.raises(ValueError, match='freezes something at each frozen_stages of'):
        StageFreezer(OwnStemAlways(2))


def test_a_backbone_without_frozen_stages_is_refused():
    with pytest.raises(
        ValueError, match='cannot freeze stages: its frozen_stages is None'
    ):
        StageFreezer(OwnWithoutFreezing())


def test_a_value_that_the_class_does_not_take_is_refused():
    freezer = StageFreezer(RESNET.build(1))
    with pytest.raises(ValueError, match='does not take frozen_stages=5 .* or -1'):
        freezer.at(5)


def test_the_description_counts_and_names_the_largest_frozen_modules():
    resnet50 = Case('', 'mmdet', dict(type='ResNet', depth=50))
    freezer = StageFreezer(resnet50.build(1))
    # conv1 and bn1: 3 tensors, 9408 + 128; layer1: 10 convolutions with a norm each.
    assert freezer.describe(freezer.configured.params) == (
        '33 tensors, 0.23 M parameters (conv1, bn1, layer1)'
    )
