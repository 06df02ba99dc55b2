"""Plain ViTs of timm: their feature maps, patches of 14 pixels, windows, registers."""

import math

import pytest
import timm
import torch
from timm.layers import resample_patch_embed

import plugin.det  # noqa: F401  With it, files are renamed and resized.
from plugin.registry import MODELS

DINOV2 = 'vit_small_patch14_reg4_dinov2'
DINOV3 = 'vit_small_patch16_dinov3'
SMALL = dict(depth=2, embed_dim=64, num_heads=2)


def build(model_name, **kwargs):
    kwargs = dict(timm_kwargs=SMALL, out_indices=(0, 1)) | kwargs
    return MODELS.build(
        dict(type='plugin.TIMMBackbone', model_name=model_name, **kwargs)
    ).eval()


def full(model_name, **kwargs):
    """Return timm's own model, with no weight as its constructor made it."""
    torch.manual_seed(0)
    model = timm.create_model(model_name, **(SMALL | kwargs)).eval()
    for param in model.parameters():
        torch.nn.init.normal_(param, std=0.2)
    return model


# Patch 14 as it is, patch 14 resampled, and rotary positions.
@pytest.mark.parametrize('size', [(64, 64), (61, 75), (130, 47)])
@pytest.mark.parametrize(
    ('model_name', 'patch'), [(DINOV2, 14), (DINOV2, 16), (DINOV3, 16)]
)
def test_feature_maps_are_those_of_timm_at_any_size(model_name, patch, size, tmp_path):
    kwargs = dict(patch_size=patch, dynamic_img_size=True)
    theirs = full(model_name, dynamic_img_pad=True, **kwargs)
    torch.save(theirs.state_dict(), tmp_path / 'vit.pth')
    ours = build(
        model_name,
        checkpoint_path=str(tmp_path / 'vit.pth'),
        timm_kwargs=dict(SMALL, patch_size=patch),
    )
    image = torch.rand(1, 3, *size)
    with torch.no_grad():
        maps = ours(image)
        wanted = theirs.forward_intermediates(
            image, indices=[0, 1], intermediates_only=True
        )
    for got, want in zip(maps, wanted, strict=True):
        assert got.shape == (1, 64, *(math.ceil(s / patch) for s in size))
        assert torch.allclose(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('way', ['checkpoint_path', 'init_cfg', 'pretrained'])
def test_patches_of_14_pixels_are_resampled_by_every_way_of_loading(
    way, tmp_path, monkeypatch
):
    theirs = full(DINOV2)
    state = theirs.state_dict()
    path = str(tmp_path / 'vit.pth')
    torch.save(state, path)
    monkeypatch.setattr(
        'timm.models._builder.load_state_dict_from_hf', lambda *a, **k: dict(state)
    )
    ways = dict(
        checkpoint_path=path,
        init_cfg=dict(type='Pretrained', checkpoint=path),
        pretrained=True,
    )
    backbone = build(DINOV2, **{way: ways[way]})
    backbone.init_weights()
    got = dict(backbone.timm_model.named_parameters())
    (name,) = [n for n in got if n.endswith('patch_embed.proj.weight')]
    want = resample_patch_embed(state['patch_embed.proj.weight'], [16, 16])
    assert torch.allclose(got[name], want, atol=1e-6)
    assert backbone.feature_spec().strides == (16, 16)
    (name,) = [n for n in got if n.endswith('blocks.1.mlp.fc2.weight')]
    assert torch.equal(got[name], state['blocks.1.mlp.fc2.weight'])


def test_windows_with_a_few_global_blocks_train_at_1024_pixels():
    backbone = build(
        'samvit_base_patch16',
        img_size=1024,
        with_cp=True,
        out_indices=(-1,),
        timm_kwargs=dict(SMALL, embed_dim=16, global_attn_indexes=(1,)),
    ).train()
    windows, whole = (block.window_size for block in backbone.timm_model.model.blocks)
    assert (windows, whole) == (14, 0)
    (x,) = backbone(torch.rand(1, 3, 1024, 1024))
    assert x.shape == (1, 16, 64, 64)
    x.mean().backward()
    assert all(p.grad is not None for p in backbone.parameters())
    (x,) = backbone(torch.rand(1, 3, 96, 200))
    assert x.shape == (1, 16, 6, 13)
