"""The contract of a backbone: what it finds in classes that break it, and in ours."""

import pytest
import torch
from click.testing import CliRunner
from torch import nn

from plugin.backbones import CATALOGUE
from plugin.cli import main
from plugin.testing import FAILED, NOTE, BackboneError, check_backbone, examine


class Good(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, 4, 1)
        self.second = nn.Conv2d(4, 8, 3, 2, 1)

    def forward(self, x):
        x = self.first(x)
        return x, self.second(x)


class AList(Good):
    def forward(self, x):
        return list(super().forward(x))


class DeepestFirst(Good):
    def forward(self, x):
        return super().forward(x)[::-1]


class Tokens(Good):
    def forward(self, x):
        return tuple(y.flatten(2) for y in super().forward(x))


class OneLayerTooMany(Good):
    def __init__(self):
        super().__init__()
        self.third = nn.Conv2d(8, 8, 1)


class KeepsDropout(Good):
    def train(self, mode=True):
        super().train(mode)
        self.second.train()
        return self


class Random(Good):
    def forward(self, x):
        return super().forward(x + torch.rand_like(x))


class OfItsBatch(Good):
    def forward(self, x):
        return super().forward(x - x.mean())


class FixedDtype(Good):
    def forward(self, x):
        return tuple(y.float() for y in super().forward(x))


class WrongSpec(Good):
    def feature_spec(self):
        from plugin.spec import FeatureSpec

        return FeatureSpec((4, 16), (4, 8))


class OutsideTheStateDict(Good):
    def __init__(self):
        super().__init__()
        self.scale = torch.rand(1)

    def forward(self, x):
        return super().forward(x * self.scale)

    def __deepcopy__(self, memo):
        other = type(self)()
        other.load_state_dict(self.state_dict())
        return other


class FreezesNothing(Good):
    frozen_stages = 1


class WholeCellsOnly(Good):
    def forward(self, x):
        n, c, height, width = x.shape
        return super().forward(x.view(n, c, height // 8, 8, width).flatten(2, 3))


class Infinite(Good):
    def forward(self, x):
        return tuple(y * float('inf') for y in super().forward(x))


class AsksForANumber(Good):
    def forward(self, x):
        return super().forward(x / 2 if x.mean().item() > 100 else x)


def failed(module):
    return {o.check: o.message for o in examine(module, 64) if o.status == FAILED}


def test_a_backbone_that_keeps_it_passes():
    check_backbone(Good(), 64)


@pytest.mark.parametrize(
    ('cls', 'check', 'message'),
    [
        (AList, 'feature maps', 'return a tuple'),
        (DeepestFirst, 'feature maps', 'give the largest first'),
        (Tokens, 'feature maps', 'must be a tensor'),
        (WholeCellsOnly, 'odd sizes and a batch of 1', 'pad the image in forward'),
        (OneLayerTooMany, 'gradients', 'third'),
        (Infinite, 'gradients', 'is not finite'),
        (KeepsDropout, 'train and eval', 'second in training mode'),
        (Random, 'determinism', 'two forwards in eval mode differ'),
        (OfItsBatch, 'determinism', 'depend on the other images'),
        (FixedDtype, 'dtypes', 'use x.dtype|create tensors with x.dtype'),
        (WrongSpec, 'declared spec', 'correct feature_spec'),
        (OutsideTheStateDict, 'state dict', 'a parameter or a buffer'),
        (FreezesNothing, 'freezing', 'no value of frozen_stages'),
    ],
)
def test_what_is_broken_is_found_with_what_to_change(cls, check, message):
    import re

    assert re.search(message, failed(cls())[check])


def test_the_error_has_a_line_for_each_check_that_failed():
    with pytest.raises(BackboneError, match=r'^1 check failed\ngradients: '):
        check_backbone(OneLayerTooMany(), 64)


@pytest.mark.parametrize('entry', CATALOGUE, ids=lambda entry: entry.name)
def test_ours_keep_it(entry):
    check_backbone(dict(type=f'plugin.{entry.name}', **entry.smallest), 64)


TIMM = dict(type='plugin.TIMMBackbone', model_name='test_vit', out_indices=(-1,))


@pytest.mark.parametrize(
    'wrapper',
    [
        dict(type='plugin.PyramidBackbone', out_channels=8),
        dict(
            type='plugin.PEFTBackbone',
            peft_config=dict(peft_type='LORA', r=2, target_modules=['qkv']),
        ),
    ],
    ids=lambda wrapper: wrapper['type'],
)
def test_our_wrappers_keep_it(wrapper):
    if 'peft_config' in wrapper:
        pytest.importorskip('peft', reason='peft, an extra, is not installed')
    check_backbone(dict(wrapper, backbone=TIMM), 64)


def test_what_is_not_required_is_reported():
    found = {o.check: o for o in examine(Good(), 512)}
    # 4 x 128 x 128 and 8 x 64 x 64 numbers of 4 bytes.
    assert found['memory'].message == '0.25 MiB, 0.12 MiB an image of 512x512'
    assert found['memory'].status == NOTE
    assert found['compile'].message == 'torch.compile takes it as one graph'
    assert found['export'].message == 'torch.export takes it'
    found = {o.check: o for o in examine(AsksForANumber(), 64)}
    assert found['compile'].status == NOTE
    assert 'does not take it as one graph' in found['compile'].message


def test_the_command_takes_a_class_in_a_file(tmp_path):
    path = tmp_path / 'nets_of_mine.py'
    path.write_text(
        'from torch import nn\n\n\n'
        'class Net(nn.Module):\n'
        '    def __init__(self):\n'
        '        super().__init__()\n'
        '        self.conv = nn.Conv2d(3, 4, 3, 4, 1)\n\n'
        '    def forward(self, x):\n'
        '        return self.conv(x)\n'
    )
    result = CliRunner().invoke(main, ['test', f'{path}:Net'])
    assert result.exit_code == 1
    assert 'failed  feature maps: forward returns a Tensor' in result.output
    result = CliRunner().invoke(main, ['test', f'{path}:Nett'])
    assert result.exit_code == 1
    assert 'has no class Nett; it has Net' in result.output
