"""Weights whose shape depends on the image, in models of other images."""

import mmdet.models  # noqa: F401
import mmpretrain.models  # noqa: F401
import mmseg.models  # noqa: F401
import pytest
import torch
import torch.nn.functional as F
from timm.models import adapt_input_conv
from torch import nn

import plugin.registry  # noqa: F401
from plugin.weights.matching.resizing import fitted

SWIN = dict(embed_dims=12, depths=(1, 1, 1, 1), num_heads=(1, 2, 2, 4))
VIT = dict(num_layers=1, num_heads=2, embed_dims=24)


def pretrain_vit(size, **args):
    arch = dict(feedforward_channels=96, **VIT)
    return dict(img_size=size, patch_size=16, arch=arch, out_type='featmap', **args)


def loaded(tmp_path, build, source, target, change=lambda name, tensor: tensor):
    """Weights of ``source`` and the backbone ``target`` with them."""
    model = build(*source[:1], **source[1])
    torch.manual_seed(0)
    weights = {k: torch.randn(v.shape) for k, v in model.state_dict().items()}
    weights = {k: change(k, v) for k, v in weights.items()}
    torch.save({f'backbone.{k}': v for k, v in weights.items()}, tmp_path / 'a.pth')
    backbone = build(target[0], tmp_path / 'a.pth', 'backbone.', **target[1])
    return weights, backbone


def bicubic(rows, old, new):
    grid = rows.T.reshape(1, -1, *old)
    return F.interpolate(grid, new, mode='bicubic').flatten(2)[0].T


# Position embeddings


@pytest.mark.parametrize(
    ('target', 'size', 'grid'),
    [
        ('mmpretrain.VisionTransformer', 96, (6, 6)),
        ('mmpretrain.VisionTransformer', (96, 32), (6, 2)),
        ('mmseg.VisionTransformer', 96, (6, 6)),
        ('mmseg.VisionTransformer', (96, 32), (6, 2)),
        ('mmseg.MAE', (96, 96), (6, 6)),
    ],
)
def test_a_position_embedding_takes_the_models_grid_and_keeps_its_token(
    tmp_path, build, lines, target, size, grid
):
    args = dict(img_size=size, **VIT)
    if target == 'mmpretrain.VisionTransformer':
        args = pretrain_vit(size)
    weights, backbone = loaded(
        tmp_path,
        build,
        ('mmpretrain.VisionTransformer', pretrain_vit(64)),
        (target, args),
    )
    pos_embed = weights['pos_embed'][0]
    assert backbone.pos_embed.shape == (1, 1 + grid[0] * grid[1], 24)
    assert torch.equal(backbone.pos_embed[0, 0], pos_embed[0])
    expected = bicubic(pos_embed[1:], (4, 4), grid)
    torch.testing.assert_close(backbone.pos_embed[0, 1:], expected)
    assert '0 mismatched' in lines[0].getMessage()


def test_a_class_token_that_the_model_lacks_is_left_out(tmp_path, build):
    weights, backbone = loaded(
        tmp_path,
        build,
        ('mmpretrain.VisionTransformer', pretrain_vit(64)),
        ('mmpretrain.VisionTransformer', pretrain_vit(64, with_cls_token=False)),
    )
    assert torch.equal(backbone.pos_embed, weights['pos_embed'][:, 1:])


@pytest.mark.parametrize('library', ['mmdet', 'mmseg'])
@pytest.mark.parametrize('size', [32, 64])
def test_swins_embedding_arrives_where_its_own_code_stumbles(
    tmp_path, build, library, size
):
    # It unpacks four sizes, and the embedding has three.
    args = dict(window_size=2, use_abs_pos_embed=True, **SWIN)
    weights, backbone = loaded(
        tmp_path,
        build,
        ('mmdet.SwinTransformer', dict(args, pretrain_img_size=32)),
        (f'{library}.SwinTransformer', dict(args, pretrain_img_size=size)),
    )
    rows = weights['absolute_pos_embed'][0]
    expected = bicubic(rows, (8, 8), (16, 16)) if size > 32 else rows
    torch.testing.assert_close(backbone.absolute_pos_embed[0], expected)


def test_rows_become_a_map_where_the_model_has_one():
    module = nn.Module()
    module.pos_embed = nn.Parameter(torch.zeros(1, 5, 3, 2))
    rows = torch.randn(1, 16, 5)
    found = fitted(rows, module.pos_embed, 'pos_embed', module)
    expected = bicubic(rows[0], (4, 4), (3, 2)).T.reshape(1, 5, 3, 2)
    torch.testing.assert_close(found, expected)


def test_sams_maps_and_lines_of_positions_are_resized(tmp_path, build):
    def args(size):
        return dict(
            arch=dict(
                num_layers=1,
                num_heads=2,
                embed_dims=24,
                feedforward_channels=24,
                global_attn_indexes=[0],
            ),
            img_size=size,
            patch_size=16,
            out_channels=8,
            use_rel_pos=True,
        )

    weights, backbone = loaded(
        tmp_path,
        build,
        ('mmpretrain.ViTSAM', args(64)),
        ('mmpretrain.ViTSAM', args(96)),
    )
    rows = weights['pos_embed'].flatten(0, 2)
    torch.testing.assert_close(
        backbone.pos_embed.flatten(0, 2), bicubic(rows, (4, 4), (6, 6))
    )
    line = weights['layers.0.attn.rel_pos_h']  # (7, 12)
    expected = F.interpolate(line.T[None], 11, mode='linear')[0].T
    torch.testing.assert_close(backbone.layers[0].attn.rel_pos_h, expected)


# Relative positions


@pytest.mark.parametrize(
    'target', ['mmdet.SwinTransformer', 'mmseg.SwinTransformer', 'mmpretrain']
)
def test_a_table_of_relative_positions_takes_the_models_window(
    tmp_path, build, lines, target
):
    args = dict(window_size=4, **SWIN)
    if target == 'mmpretrain':
        arch = {k: list(v) if isinstance(v, tuple) else v for k, v in SWIN.items()}
        args = dict(window_size=4, img_size=128, arch=arch, out_indices=(0, 1, 2, 3))
        target = 'mmpretrain.SwinTransformer'
    weights, backbone = loaded(
        tmp_path,
        build,
        ('mmdet.SwinTransformer', dict(window_size=2, **SWIN)),
        (target, args),
    )
    name = 'stages.1.blocks.0.attn.w_msa.relative_position_bias_table'
    expected = bicubic(weights[name], (3, 3), (7, 7))
    torch.testing.assert_close(backbone.state_dict()[name], expected)
    message = lines[0].getMessage()
    assert '100.0 %' in message and '0 mismatched' in message


def test_beits_table_keeps_the_three_rows_of_its_token(tmp_path, build):
    args = dict(qv_bias=True, **VIT)
    weights, backbone = loaded(
        tmp_path,
        build,
        ('mmseg.BEiT', dict(args, img_size=(64, 64))),
        ('mmseg.BEiT', dict(args, img_size=(96, 96))),
    )
    name = 'layers.0.attn.relative_position_bias_table'
    table, ours = weights[name], backbone.state_dict()[name]
    assert (len(table), len(ours)) == (7 * 7 + 3, 11 * 11 + 3)
    assert torch.equal(ours[-3:], table[-3:])
    torch.testing.assert_close(ours[:-3], bicubic(table[:-3], (7, 7), (11, 11)))


def test_a_window_that_is_no_square_is_taken_from_the_module():
    owner = nn.Module()
    owner.window_size = (2, 4)
    owner.relative_position_bias_table = nn.Parameter(torch.zeros(3 * 7, 2))
    table = torch.randn(9, 2)
    found = fitted(
        table,
        owner.relative_position_bias_table,
        'relative_position_bias_table',
        owner,
    )
    torch.testing.assert_close(found, bicubic(table, (3, 3), (3, 7)))


# The first convolution


@pytest.mark.parametrize('channels', [1, 6])
@pytest.mark.parametrize(
    ('target', 'args'),
    [
        ('plugin.ConvNeXt', dict(arch='atto')),
        ('mmdet.ResNet', dict(depth=18)),
        ('mmdet.SwinTransformer', dict(window_size=2, **SWIN)),
    ],
)
def test_other_channels_give_the_same_answer_to_a_grey_image(
    tmp_path, build, lines, target, args, channels
):
    rgb = build(target, **args)
    rgb.eval()
    state = {f'backbone.{k}': v for k, v in rgb.state_dict().items()}
    torch.save(state, tmp_path / 'a.pth')
    backbone = build(
        target, tmp_path / 'a.pth', 'backbone.', in_channels=channels, **args
    )
    assert '0 mismatched, 1 resized' in lines[-1].getMessage()
    grey = torch.rand(1, 1, 64, 64)
    with torch.no_grad():
        expected = rgb(grey.expand(-1, 3, -1, -1))
        found = backbone(grey.expand(-1, channels, -1, -1))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('channels', [1, 2, 4, 5, 6])
def test_the_first_convolution_is_adapted_as_timm_does_it(channels):
    conv = nn.Conv2d(channels, 2, 3)
    weight = torch.randn(2, 3, 3, 3)
    found = fitted(weight, conv.weight, 'weight', conv)
    torch.testing.assert_close(found, adapt_input_conv(channels, weight))


def test_four_channels_repeat_the_first():
    weight = torch.randn(2, 3, 3, 3)
    conv = nn.Conv2d(4, 2, 3)
    found = fitted(weight, conv.weight, 'weight', conv)
    torch.testing.assert_close(found, weight[:, [0, 1, 2, 0]] * 0.75)


# What is not guessed


@pytest.mark.parametrize(
    ('name', 'shape', 'like'),
    [
        ('conv.weight', (4, 3, 3, 3), (8, 4, 3, 3)),
        ('conv.weight', (4, 8, 3, 3), (4, 16, 3, 3)),
        ('conv.weight', (4, 3, 3, 3), (4, 1, 5, 5)),
        ('fc.weight', (10, 4), (20, 4)),
        ('pos_embed', (1, 17, 8), (1, 26, 16)),
        ('pos_embed', (1, 16, 8), (1, 21, 8)),
        ('relative_position_bias_table', (9, 2), (25, 4)),
        ('bias', (3,), (4,)),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(name, shape, like):
    owner, _, leaf = name.rpartition('.')
    module = nn.Module()
    holder = module
    if owner:
        holder = nn.Module()
        module.add_module(owner, holder)
    holder.register_parameter(leaf, nn.Parameter(torch.zeros(like)))
    assert fitted(torch.zeros(shape), torch.zeros(like), name, module) is None


def test_a_1x1_convolution_is_a_linear_layer_and_back():
    module = nn.Module()
    weight = torch.randn(4, 3)
    conv = torch.zeros(4, 3, 1, 1)
    assert fitted(weight, conv, 'weight', module).shape == conv.shape
    assert torch.equal(fitted(weight[:, :, None, None], weight, 'a', module), weight)
