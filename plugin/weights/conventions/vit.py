"""ViT: from timm, torchvision and the repositories of DeiT, MAE, BEiT, CLIP and SAM.

The names wanted are mmpretrain's. mmseg has them too, but for the attention, of which
it has other forms in its ViT and in its BEiT.
"""

from __future__ import annotations

from plugin.weights.conventions.convention import Convention, Weights, rules
from plugin.weights.conventions.foundation import BEIT, CLIP, SAM

_timm = rules(
    (r'relative_position_index$', None),
    (r'^patch_embed\.proj\.', 'patch_embed.projection.'),
    (r'^blocks\.', 'layers.'),
    (r'^(layers\.\d+)\.norm([12])\.', r'\1.ln\2.'),
    (r'\.mlp\.fc1\.', '.ffn.layers.0.0.'),
    (r'\.mlp\.fc2\.', '.ffn.layers.1.'),
    (r'\.ls1\.gamma$', '.attn.gamma1.weight'),
    (r'\.ls2\.gamma$', '.ffn.gamma2.weight'),
    (r'^norm_pre\.', 'pre_norm.'),
    (r'^norm\.', 'ln1.'),
    # mmpretrain's ViTSAM.
    (r'^neck\.', 'channel_reduction.'),
)
_torchvision = rules(
    (r'^class_token$', 'cls_token'),
    (r'^conv_proj\.', 'patch_embed.projection.'),
    (r'^encoder\.pos_embedding$', 'pos_embed'),
    (r'^encoder\.layers\.encoder_layer_', 'layers.'),
    (r'\.ln_([12])\.', r'.ln\1.'),
    (r'\.self_attention\.in_proj_', '.attn.qkv.'),
    (r'\.self_attention\.out_proj\.', '.attn.proj.'),
    (r'\.mlp\.(0|linear_1)\.', '.ffn.layers.0.0.'),
    (r'\.mlp\.(3|linear_2)\.', '.ffn.layers.1.'),
    (r'^encoder\.ln\.', 'ln1.'),
)


def _query_and_value(weights: Weights) -> Weights:
    """Return the bias of query, key and value as BEiT has it, without the key's.

    That one adds the same to all scores of a query, which softmax takes away.
    """
    renamed = {}
    for name, tensor in weights.items():
        if name.endswith('.attn.qkv.bias'):
            query, _, value = tensor.chunk(3)
            stem = name.removesuffix('qkv.bias')
            renamed |= {f'{stem}q_bias': query, f'{stem}v_bias': value}
        else:
            renamed[name] = tensor
    return renamed


def _through_timm(convention: Convention) -> Convention:
    """Return a convention that gives timm's names, going on to OpenMMLab's."""
    return Convention(
        convention.origin,
        convention.marks,
        lambda weights: _timm(convention.rename(weights)),
    )


# Before timm's, whose marks some of them have too.
VIT = (
    *map(_through_timm, (CLIP, SAM, BEIT)),
    Convention(
        "timm's ViT",
        (r'patch_embed\.proj\.weight$', r'blocks\.0\.attn\.qkv\.weight$'),
        _timm,
    ),
    Convention(
        "torchvision's ViT",
        (r'conv_proj\.weight$', r'encoder\.layers\.encoder_layer_0\.'),
        _torchvision,
    ),
)
_QKV = (r'layers\.0\.ln1\.weight$', r'layers\.0\.attn\.qkv\.weight$')
VIT_FORMS = (
    Convention(
        "mmpretrain's ViT",
        _QKV,
        rules(
            (r'\.attn\.qkv\.', '.attn.attn.in_proj_'),
            (r'\.attn\.proj\.', '.attn.attn.out_proj.'),
        ),
    ),
    Convention(
        "mmpretrain's ViT",
        (*_QKV, r'layers\.0\.attn\.qkv\.bias$'),
        _query_and_value,
    ),
)
