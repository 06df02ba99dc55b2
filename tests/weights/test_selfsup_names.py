"""Checkpoints of MMSelfSup, by the names and shapes that its models have.

They hold the whole method: the backbone, its momentum twin, necks and decoders.
"""

import mmdet.models  # noqa: F401
import mmpretrain.models  # noqa: F401
import mmseg.models  # noqa: F401
import pytest
import torch

import plugin.registry  # noqa: F401
from plugin.measure.backbone import build
from plugin.weights.files.contents import under
from plugin.weights.matching.fit import best_prefix, fit

MAE_ENCODER = """
    backbone.cls_token                             1 1 768
    backbone.pos_embed                             1 197 768
    backbone.patch_embed.projection.weight         768 3 16 16
    backbone.patch_embed.projection.bias           768
    backbone.layers.{12}.ln1.weight                768
    backbone.layers.{12}.ln1.bias                  768
    backbone.layers.{12}.attn.qkv.weight           2304 768
    backbone.layers.{12}.attn.qkv.bias             2304
    backbone.layers.{12}.attn.proj.weight          768 768
    backbone.layers.{12}.attn.proj.bias            768
    backbone.layers.{12}.ln2.weight                768
    backbone.layers.{12}.ln2.bias                  768
    backbone.layers.{12}.ffn.layers.0.0.weight     3072 768
    backbone.layers.{12}.ffn.layers.0.0.bias       3072
    backbone.layers.{12}.ffn.layers.1.weight       768 3072
    backbone.layers.{12}.ffn.layers.1.bias         768
    backbone.ln1.weight                            768
    backbone.ln1.bias                              768
"""
MAE_DECODER = """
    neck.mask_token                                1 1 512
    neck.decoder_pos_embed                         1 197 512
    neck.decoder_embed.weight                      512 768
    neck.decoder_embed.bias                        512
    neck.decoder_blocks.{8}.ln1.weight             512
    neck.decoder_blocks.{8}.attn.qkv.weight        1536 512
    neck.decoder_blocks.{8}.attn.proj.weight       512 512
    neck.decoder_blocks.{8}.ffn.layers.0.0.weight  2048 512
    neck.decoder_blocks.{8}.ffn.layers.1.weight    512 2048
    neck.ln1.weight                                512
    neck.decoder_pred.weight                       768 512
"""
MOCO_NECK = """
    neck.fc0.weight                                4096 2048
    neck.bn0.weight                                4096
    head.predictor.fc0.weight                      4096 256
    momentum_encoder.steps                         1
    momentum_encoder.module.1.fc0.weight           4096 2048
"""


def tensors(table):
    """The weights of a table of names and shapes; {n} stands for 0 to n - 1."""
    found = {}
    for line in table.strip().splitlines():
        name, *shape = line.split()
        before, brace, rest = name.partition('{')
        count, _, after = rest.partition('}')
        for i in range(int(count or 1)):
            full = f'{before}{i}{after}' if brace else name
            found[full] = torch.empty(*map(int, shape), device='meta')
    return found


def resnet50():
    """The parameters and statistics of a ResNet-50."""

    def norm(name, channels):
        for leaf in ('weight', 'bias', 'running_mean', 'running_var'):
            yield f'{name}.{leaf}', (channels,)
        yield f'{name}.num_batches_tracked', ()

    def names():
        yield 'conv1.weight', (64, 3, 7, 7)
        yield from norm('bn1', 64)
        before = 64
        for stage, blocks in enumerate((3, 4, 6, 3)):
            width = 64 * 2**stage
            for i in range(blocks):
                block = f'layer{stage + 1}.{i}'
                kernels = ((width, before, 1), (width, width, 3), (4 * width, width, 1))
                for j, (out, into, size) in enumerate(kernels, 1):
                    yield f'{block}.conv{j}.weight', (out, into, size, size)
                    yield from norm(f'{block}.bn{j}', out)
                if i == 0:
                    shape = (4 * width, before, 1, 1)
                    yield f'{block}.downsample.0.weight', shape
                    yield from norm(f'{block}.downsample.1', 4 * width)
                before = 4 * width

    return {name: torch.empty(shape, device='meta') for name, shape in names()}


MAE = tensors(MAE_ENCODER) | tensors(MAE_DECODER)
MOCO_V3 = (
    {f'backbone.{name}': tensor for name, tensor in resnet50().items()}
    | {f'momentum_encoder.module.0.{n}': t for n, t in resnet50().items()}
    | tensors(MOCO_NECK)
)
VIT = {
    'mmpretrain.VisionTransformer': dict(arch='base', out_type='featmap'),
    'mmseg.VisionTransformer': dict(
        img_size=(224, 224), patch_bias=True, final_norm=True
    ),
}


@pytest.mark.parametrize('target', ['mmdet.ResNet', 'mmpretrain.ResNet'])
def test_moco_v3_s_resnet_is_found_beside_its_momentum_twin(target):
    backbone = build(dict(type=target, depth=50), meta=True)
    prefix, found = best_prefix(MOCO_V3, backbone)
    assert prefix == 'backbone.'
    assert (found.share, found.origin, found.unexpected) == (1.0, None, ())
    assert set(found.tensors) == set(backbone.state_dict())


def test_moco_v3_without_a_prefix_gives_nothing():
    backbone = build(dict(type='mmdet.ResNet', depth=50), meta=True)
    assert fit(MOCO_V3, backbone).loaded == 0


@pytest.mark.parametrize(
    ('target', 'origin'),
    [
        ('mmpretrain.VisionTransformer', None),
        ('mmseg.VisionTransformer', "mmpretrain's ViT"),
    ],
)
def test_mae_s_encoder_is_told_from_its_decoder(target, origin):
    backbone = build(dict(type=target, **VIT[target]), meta=True)
    prefix, found = best_prefix(MAE, backbone)
    assert prefix == 'backbone.'
    assert (found.share, found.origin) == (1.0, origin)
    assert (found.unexpected, found.mismatched) == ((), {})


def test_attention_of_mae_gets_the_names_of_mmseg():
    target = 'mmseg.VisionTransformer'
    backbone = build(dict(type=target, **VIT[target]), meta=True)
    found = fit(under(MAE, 'backbone.'), backbone).tensors
    shapes = {name: tuple(found[name].shape) for name in found if 'layers.11' in name}
    assert shapes['layers.11.attn.attn.in_proj_weight'] == (2304, 768)
    assert shapes['layers.11.attn.attn.out_proj.weight'] == (768, 768)
    assert shapes['layers.11.ffn.layers.0.0.weight'] == (3072, 768)
    assert len(shapes) == 12
