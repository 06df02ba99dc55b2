"""Weights whose shape depends on the image: fitted to the model that gets them."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Class, distillation and register tokens by the names that libraries give them.
_TOKENS = ('cls_token', 'class_token', 'dist_token', 'reg_token', 'register_tokens')
_GRIDS = (
    'init_out_size',
    'patch_resolution',
    'patches_resolution',
    'patch_shape',
    'grid_size',
    'feat_size',
)


def fitted(tensor: Tensor, like: Tensor, name: str, module: nn.Module) -> Tensor | None:
    """Return ``tensor`` in the shape of ``like``, if that can be done without guessing.

    - Dimensions of size 1 come and go: a 1x1 convolution is a linear layer.
    - A first convolution of 3 channels is spread over another number of them.
    - Tables of relative positions, and position embeddings, are interpolated.
    - A patch embedding is resampled to patches of another size.

    Args:
        tensor: From a checkpoint.
        like: The tensor of the model that it is for.
        name: Its name in the model.
        module: The model; it knows its grids and windows.

    Returns:
        None if the shapes don't belong together.
    """
    if tensor.shape == like.shape:
        return tensor
    if _squeezed(tensor) == _squeezed(like):
        return tensor.reshape(like.shape)
    owner, _, leaf = name.rpartition('.')
    owner = module.get_submodule(owner)
    if tensor.ndim == like.ndim == 4 and leaf == 'weight':
        if 'patch_embed' in name and tensor.shape[:2] == like.shape[:2]:
            return _resample_patches(tensor, like)
        return _spread_channels(tensor, like)
    if not tensor.is_floating_point():
        return None
    if leaf.endswith('relative_position_bias_table'):
        return _resize_bias_table(tensor, like, owner)
    if leaf in ('rel_pos_h', 'rel_pos_w') and tensor.shape[1:] == like.shape[1:]:
        line = tensor.T[None]  # (2 size - 1, C) as (1, C, 2 size - 1)
        line = F.interpolate(line.float(), len(like), mode='linear')
        return line[0].T.to(tensor.dtype)
    if 'pos_embed' in leaf or 'position_embed' in leaf:
        return _resize_embedding(tensor, like, owner)
    return None


def _squeezed(tensor: Tensor) -> list[int]:
    return [size for size in tensor.shape if size != 1]


def _resample_patches(weight: Tensor, like: Tensor) -> Tensor:
    """(O, C, h, w) -> (O, C, h', w'), by FlexiViT's pseudo-inverse, as timm does it.

    Source: FlexiViT (arXiv:2212.08013), section 3.4.
    """
    from timm.layers import resample_patch_embed

    return resample_patch_embed(weight, list(like.shape[2:]))


def _spread_channels(weight: Tensor, like: Tensor) -> Tensor | None:
    """(O, 3, h, w) -> (O, C, h, w), as timm does it.

    One channel gets the sum. More get the three in turns, scaled by 3 / C.
    """
    out, channels, *kernel = like.shape
    if list(weight.shape) != [out, 3, *kernel]:
        return None
    if channels == 1:
        return weight.sum(1, keepdim=True)
    turns = weight.repeat(1, math.ceil(channels / 3), 1, 1)[:, :channels]
    return turns * (3 / channels)


def _resize_bias_table(table: Tensor, like: Tensor, owner: nn.Module) -> Tensor | None:
    """(rows, heads): a row for each offset in a window, then BEiT's 3 for its token."""
    if table.ndim != 2 or table.shape[1:] != like.shape[1:]:
        return None
    for extra in (0, 3):
        old = _square(len(table) - extra)
        new = _span(owner, len(like) - extra)
        if old and new:
            offsets = _bicubic(table[: len(table) - extra], (old, old), new)
            return torch.cat([offsets, table[len(table) - extra :]])
    return None


def _span(owner: nn.Module, rows: int) -> tuple[int, int] | None:
    window = getattr(owner, 'window_size', None)
    if isinstance(window, (tuple, list)) and len(window) == 2:
        span = 2 * window[0] - 1, 2 * window[1] - 1
        if span[0] * span[1] == rows:
            return span
    side = _square(rows)
    return (side, side) if side else None


def _resize_embedding(table: Tensor, like: Tensor, owner: nn.Module) -> Tensor | None:
    """(1, tokens + H W, C), or mmdet's (1, C, H, W), or SAM's (1, H, W, C)."""
    if table.ndim not in (3, 4) or like.ndim not in (3, 4) or len(table) != 1:
        return None
    channels_first = like.ndim == 4 and like.shape[1] == (
        table.shape[1] if table.ndim == 4 else table.shape[-1]
    )
    shape = like.permute(0, 2, 3, 1).shape if channels_first else like.shape
    if channels_first and table.ndim == 4:
        table = table.permute(0, 2, 3, 1)
    if table.shape[-1] != shape[-1]:
        return None
    rows = table.flatten(0, -2)
    source = tuple(table.shape[1:3]) if table.ndim == 4 else None
    resized = None
    if len(shape) == 4:
        resized = _regrid(rows, source, 0, tuple(shape[1:3]))
    else:
        # timm's no_embed_class leaves the tokens out of the table.
        for tokens in dict.fromkeys((_tokens(owner), 0)):
            target = next(_grids(owner, shape[1] - tokens), None)
            if target is not None:
                resized = _regrid(rows, source, tokens, target)
                break
    if resized is None:
        return None
    resized = resized.reshape(shape)
    return resized.permute(0, 3, 1, 2).contiguous() if channels_first else resized


def _regrid(
    rows: Tensor, source: tuple[int, int] | None, tokens: int, target: tuple[int, int]
) -> Tensor | None:
    """(tokens + H W, C) -> (tokens + h w, C); tokens too many are left out."""
    extra = 0
    if source is None:
        for extra in (tokens, 1, 0, 2, 5):
            side = _square(len(rows) - extra)
            if side:
                source = side, side
                break
    if source is None or extra < tokens:
        return None
    # The class's token is the first.
    return torch.cat([rows[:tokens], _bicubic(rows[extra:], source, target)])


def _tokens(owner: nn.Module) -> int:
    present = (getattr(owner, name, None) for name in _TOKENS)
    return sum(t.shape[1] for t in present if isinstance(t, Tensor) and t.ndim == 3)


def _grids(owner: nn.Module, cells: int) -> Iterator[tuple[int, int]]:
    """Grids of so many cells, those that the model names first."""
    image, patch = (getattr(owner, name, None) for name in ('img_size', 'patch_size'))
    holders = (owner, getattr(owner, 'patch_embed', None))
    named = [getattr(holder, name, None) for holder in holders for name in _GRIDS]
    if isinstance(image, (tuple, list)) and isinstance(patch, int):
        named.append([size // patch for size in image])
    for grid in named:
        if isinstance(grid, (tuple, list)) and len(grid) == 2:
            if grid[0] * grid[1] == cells:
                yield tuple(grid)
    side = _square(cells)
    if side:
        yield side, side


def _square(cells: int) -> int | None:
    side = math.isqrt(max(cells, 0))
    return side if side and side * side == cells else None


def _bicubic(rows: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """(H W, C) of one grid -> (h w, C) of another, as OpenMMLab's libraries do it."""
    if tuple(old) == tuple(new):
        return rows
    grid = rows.T.reshape(1, rows.shape[1], *old)
    grid = F.interpolate(grid.float(), new, mode='bicubic', align_corners=False)
    return grid.flatten(2)[0].T.to(rows.dtype)
