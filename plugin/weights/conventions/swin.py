"""Swin: from timm, torchvision and the paper's repository.

The names wanted are those of mmdet, mmseg and mmpretrain, which agree.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from plugin.weights.conventions.convention import Convention, Weights, rules

_STAGE = r'^layers\.(\d+)\.'
_inside = (
    # Worked out by each model for its own windows.
    (r'(relative_position_index|attn_mask|relative_coords_table|k_bias)$', None),
    (r'^patch_embed\.proj\.', 'patch_embed.projection.'),
    (r'\.attn\.', '.attn.w_msa.'),
    (r'\.mlp\.(fc1|0)\.', '.ffn.layers.0.0.'),
    (r'\.mlp\.(fc2|3)\.', '.ffn.layers.1.'),
)


def _moved(by: int) -> Callable[[Weights], Weights]:
    """``layers.N`` to ``stages.N``, and the downsampling in it to the stage N + by."""

    def stage(match) -> str:
        return f'stages.{int(match[1]) + by}.downsample.'

    renamed = rules(
        (_STAGE + r'downsample\.', stage), (_STAGE, r'stages.\1.'), *_inside
    )
    return lambda weights: _unfolded(_final_norm(renamed(weights)))


def _torchvision(weights: Weights) -> Weights:
    # features: embedding, stage, merging, stage, and so on.
    renamed = rules(
        (r'^features\.0\.0\.', 'patch_embed.projection.'),
        (r'^features\.0\.2\.', 'patch_embed.norm.'),
        (
            r'^features\.(\d+)\.(reduction|norm)\.',
            lambda m: f'stages.{int(m[1]) // 2 - 1}.downsample.{m[2]}.',
        ),
        (
            r'^features\.(\d+)\.(\d+)\.',
            lambda m: f'stages.{int(m[1]) // 2}.blocks.{m[2]}.',
        ),
        *_inside,
    )(weights)
    return _unfolded(_final_norm(renamed))


def _final_norm(weights: Weights) -> Weights:
    stages = (name.split('.')[1] for name in weights if name.startswith('stages.'))
    last = max(map(int, stages), default=3)
    return rules((r'^norm\.', f'norm{last}.'))(weights)


def _unfolded(weights: Weights) -> Weights:
    """Channels of the merged patches in the order of ``nn.Unfold``.

    A merging joins 2x2 patches of C channels into 4 C. The paper's code puts patch
    after patch, column by column; OpenMMLab's unfolds, which puts channel after
    channel, row by row.
    """
    ordered = {}
    for name, tensor in weights.items():
        merging = name.rpartition('.downsample.')[0]
        reduction = weights.get(f'{merging}.downsample.reduction.weight')
        # SwinV2 norms after the reduction: that norm has 2 C channels.
        if reduction is not None and tensor.shape[-1] == reduction.shape[-1]:
            tensor = _rows_first(tensor)
        ordered[name] = tensor
    return ordered


def _rows_first(tensor: Tensor) -> Tensor:
    """(..., 2 x 2 x C) by column, row, channel -> by channel, row, column."""
    patches = tensor.unflatten(-1, (2, 2, -1))
    return torch.movedim(patches, (-1, -2, -3), (-3, -2, -1)).flatten(-3).contiguous()


SWIN = (
    Convention(
        "the Swin repository's",
        (_STAGE + r'blocks\.0\.attn\.', r'layers\.0\.downsample\.'),
        _moved(0),
    ),
    Convention(
        "timm's Swin",
        (_STAGE + r'blocks\.0\.attn\.', r'layers\.1\.downsample\.'),
        _moved(-1),
    ),
    # mmpretrain's SwinV2 has the downsampling where timm has it.
    Convention("timm's SwinV2", (_STAGE + r'blocks\.0\.attn\.cpb_mlp\.',), _moved(0)),
    Convention(
        "the SwinV2 repository's",
        (_STAGE + r'blocks\.0\.attn\.cpb_mlp\.', r'layers\.0\.downsample\.'),
        _moved(1),
    ),
    Convention(
        "torchvision's Swin",
        (r'features\.1\.0\.attn\.', r'features\.2\.reduction\.'),
        _torchvision,
    ),
)
