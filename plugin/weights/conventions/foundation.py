"""Foundation models, from their own repositories, under timm's names.

timm renames them as well while it loads a file by itself; these are for ``init_cfg``,
and, through timm's names, for OpenMMLab's.

Source: the state dicts of the projects, and timm 1.0.31's ``checkpoint_filter_fn`` of
vision_transformer.py, eva.py, beit.py, vision_transformer_sam.py and convnext.py.
"""

from __future__ import annotations

import re

from plugin.weights.conventions.convention import Convention, Weights, rules

_clip_names = rules(
    (r'^class_embedding$', 'cls_token'),
    (r'^positional_embedding$', 'pos_embed'),
    (r'^conv1\.', 'patch_embed.proj.'),
    (r'^ln_pre\.', 'norm_pre.'),
    (r'^ln_post\.', 'norm.'),
    (r'^transformer\.resblocks\.', 'blocks.'),
    (r'\.ln_([12])\.', r'.norm\1.'),
    (r'\.attn\.in_proj_', '.attn.qkv.'),
    (r'\.attn\.out_proj\.', '.attn.proj.'),
    (r'\.mlp\.c_fc\.', '.mlp.fc1.'),
    (r'\.mlp\.c_proj\.', '.mlp.fc2.'),
)


def _clip(weights: Weights) -> Weights:
    """Token and positions get the dimension of the batch: (C) -> (1, 1, C)."""
    renamed = _clip_names(weights)
    for name in ('cls_token', 'pos_embed'):
        if name in renamed:
            while renamed[name].ndim < 3:
                renamed[name] = renamed[name][None]
    return renamed


_TABLE = 'rel_pos_bias.relative_position_bias_table'


def _beit(weights: Weights) -> Weights:
    """Return the table of relative positions that all blocks share, in each of them."""
    blocks = {name.split('.')[1] for name in weights if name.startswith('blocks.')}
    copies = {
        f'blocks.{i}.attn.relative_position_bias_table': weights[_TABLE] for i in blocks
    }
    return {name: t for name, t in weights.items() if name != _TABLE} | copies


_sam = rules((r'\.mlp\.lin([12])\.', r'.mlp.fc\1.'))
# timm has these either without a bias of the attention, which is zero in the files of
# ViT-S, B and L, or in two parts: that of the key adds the same to all its scores.
_dinov3_names = rules(
    (r'(\.bias_mask|\.periods|mask_token)$', None),
    (r'^storage_tokens$', 'reg_token'),
    (r'\.ls([12])\.gamma$', r'.gamma_\1'),
)


def _dinov3(weights: Weights) -> Weights:
    renamed = {}
    for name, tensor in _dinov3_names(weights).items():
        if name.endswith('.attn.qkv.bias'):
            query, _, value = tensor.chunk(3)
            stem = name.removesuffix('qkv.bias')
            renamed |= {f'{stem}q_bias': query, f'{stem}v_bias': value}
        else:
            renamed[name] = tensor
    return renamed


_eva02 = rules(
    (r'(^|\.)rope\.', None),
    (r'\.mlp\.w12\.', '.mlp.fc1.'),
    (r'\.mlp\.w1\.', '.mlp.fc1_g.'),
    (r'\.mlp\.w2\.', '.mlp.fc1_x.'),
    (r'\.mlp\.w3\.', '.mlp.fc2.'),
    (r'\.mlp\.ffn_ln\.', '.mlp.norm.'),
    (r'\.attn\.inner_attn_ln\.', '.attn.norm.'),
    (r'\.attn\.([qv])_bias$', r'.attn.\1_proj.bias'),
)
_convnext_names = rules(
    (r'^downsample_layers\.0\.', 'stem.'),
    (r'^downsample_layers\.(\d)\.', r'stages.\1.downsample.'),
    (r'^stages\.(\d)\.(\d+)\.', r'stages.\1.blocks.\2.'),
    (r'\.dwconv\.', '.conv_dw.'),
    (r'\.pwconv([12])\.', r'.mlp.fc\1.'),
    (r'\.grn\.gamma$', '.mlp.grn.weight'),
    (r'\.grn\.beta$', '.mlp.grn.bias'),
    (r'^norm\.', 'head.norm.'),
    (r'^head\.(weight|bias)$', r'head.fc.\1'),
)

CLIP = Convention(
    "CLIP's ViT",
    (r'class_embedding$', r'transformer\.resblocks\.0\.attn\.in_proj_weight$'),
    _clip,
)
SAM = Convention(
    "SAM's ViT", (r'patch_embed\.proj\.', r'blocks\.0\.mlp\.lin1\.weight$'), _sam
)
BEIT = Convention(
    "the BEiT repository's", (re.escape(_TABLE), r'blocks\.0\.attn\.qkv\.'), _beit
)
FOUNDATION = (
    CLIP,
    SAM,
    BEIT,
    Convention(
        "the DINOv3 repository's",
        (r'storage_tokens$', r'blocks\.0\.ls1\.gamma$'),
        _dinov3,
    ),
    Convention(
        "the EVA-02 repository's",
        (r'blocks\.0\.mlp\.w(3|12)\.weight$', r'blocks\.0\.attn\.'),
        _eva02,
    ),
    Convention(
        "the ConvNeXt repository's",
        (r'downsample_layers\.0\.0\.weight$', r'stages\.0\.0\.dwconv\.weight$'),
        _convnext_names,
    ),
)
