"""Each kind of change to the weights of a file is one warning; none is none."""

import mmdet.models  # noqa: F401
import mmpretrain.models  # noqa: F401
import pytest
import timm
import torch
from mmengine.model import BaseModule
from torch import nn

import plugin.registry  # noqa: F401


def test_renaming(tmp_path, build, warnings):
    path = tmp_path / 'a.pth'
    torch.save(timm.create_model('convnext_atto').state_dict(), path)
    build('plugin.ConvNeXt', path, arch='atto')
    renamed, reshaped = warnings
    assert renamed == (
        f"ConvNeXt: renamed 126 tensors of {path} from timm's ConvNeXt names: "
        'stem.0.weight to downsample_layers.0.0.weight, stem.0.bias to '
        'downsample_layers.0.0.bias, stem.1.weight to downsample_layers.0.1.weight '
        'and 123 more'
    )
    # timm's smallest ConvNeXts have 1x1 convolutions in the place of linear layers.
    assert 'ConvNeXt: reshaped 24 tensors of ' in reshaped


def test_reordering(tmp_path, build, warnings):
    args = dict(depths=(1, 1, 1, 1), num_heads=(1, 1, 2, 2))
    model = timm.create_model(
        'swin_tiny_patch4_window7_224', img_size=64, window_size=2, embed_dim=12, **args
    )
    torch.save(model.state_dict(), tmp_path / 'a.pth')
    build(
        'mmpretrain.SwinTransformer',
        tmp_path / 'a.pth',
        arch=dict(embed_dims=12, **{k: list(v) for k, v in args.items()}),
        window_size=2,
        img_size=64,
    )
    (text,) = warnings
    assert '; reordered 9 tensors: stages.0.downsample.norm.weight, ' in text


def test_resizing(tmp_path, build, warnings):
    arch = dict(num_layers=1, num_heads=2, embed_dims=24, feedforward_channels=96)
    args = dict(patch_size=16, arch=arch, out_type='featmap')
    small = build('mmpretrain.VisionTransformer', img_size=64, **args)
    torch.save(small.state_dict(), tmp_path / 'a.pth')
    build('mmpretrain.VisionTransformer', tmp_path / 'a.pth', img_size=96, **args)
    (text,) = warnings
    assert text == (
        f'VisionTransformer: resized 1 tensor of {tmp_path / "a.pth"}: pos_embed from '
        '(1, 17, 24) to (1, 37, 24)'
    )


def test_adapting_the_first_convolution(tmp_path, build, warnings):
    torch.save(build('mmdet.ResNet', depth=18).state_dict(), tmp_path / 'a.pth')
    build('mmdet.ResNet', tmp_path / 'a.pth', depth=18, in_channels=1)
    (text,) = warnings
    assert text == (
        "ResNet: adapted to the model's input channels 1 tensor of "
        f'{tmp_path / "a.pth"}: conv1.weight from (64, 3, 7, 7) to (64, 1, 7, 7)'
    )


def test_reshaping(tmp_path, warnings):
    class Net(BaseModule):
        def __init__(self, layer, init_cfg=None):
            super().__init__(init_cfg)
            self.fc = layer

    torch.save(Net(nn.Linear(3, 4)).state_dict(), tmp_path / 'a.pth')
    cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth'))
    Net(nn.Conv2d(3, 4, 1), cfg).init_weights()
    (text,) = warnings
    assert 'reshaped 1 tensor of ' in text
    assert text.endswith('fc.weight from (4, 3) to (4, 3, 1, 1)')


def test_an_exact_match_is_not_touched(tmp_path, build, warnings):
    """Not one element, and without a word."""
    torch.manual_seed(2)
    weights = {
        name: torch.randn(t.shape) if t.is_floating_point() else t
        for name, t in build('mmdet.ResNet', depth=18).state_dict().items()
    }
    torch.save(weights, tmp_path / 'a.pth')
    backbone = build('mmdet.ResNet', tmp_path / 'a.pth', depth=18)
    assert warnings == []
    state = backbone.state_dict()
    assert state.keys() == weights.keys()
    assert all(torch.equal(state[name], weights[name]) for name in weights)


@pytest.mark.parametrize('source', ["timm's ViT", "mmpretrain's"])
def test_names_that_two_projects_share_are_not_renamed(tmp_path, build, source):
    """A model that is in timm's names takes timm's weights as they are."""

    class InTimmsNames(BaseModule):
        def __init__(self, init_cfg=None):
            super().__init__(init_cfg)
            self.patch_embed = nn.Module()
            self.patch_embed.proj = nn.Conv2d(3, 4, 2)
            block = nn.Module()
            block.attn = nn.Module()
            block.attn.qkv = nn.Linear(4, 12)
            if source == "mmpretrain's":
                block.ln1 = nn.LayerNorm(4)
                self.layers = nn.ModuleList([block])
            else:
                self.blocks = nn.ModuleList([block])

    weights = {n: torch.randn(t.shape) for n, t in InTimmsNames().state_dict().items()}
    torch.save(weights, tmp_path / 'a.pth')
    model = InTimmsNames(dict(type='Pretrained', checkpoint=str(tmp_path / 'a.pth')))
    model.init_weights()
    assert all(torch.equal(model.state_dict()[n], t) for n, t in weights.items())
