"""Measure the channels and strides of the maps that a backbone gives to a neck."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from plugin.spec import FeatureSpec


def feature_spec(backbone: nn.Module, size: int = 256) -> FeatureSpec:
    """Return the channels and strides of ``backbone``: declared, else measured.

    A backbone declares them with a method ``feature_spec()``. Any other is run
    once on zeros, in eval mode and without gradients; its mode is put back.

    Args:
        backbone: Maps (N, 3, H, W) to a tuple of (N, C_i, H/s_i, W/s_i).
        size: Height and width of the image of zeros, in pixels.

    Raises:
        ValueError: The output is not a tuple or list of 4-D tensors.
    """
    if hasattr(backbone, 'feature_spec'):
        return backbone.feature_spec()
    return measure(backbone, size)


def measure(backbone: nn.Module, size: int = 256) -> FeatureSpec:
    """Channels and strides as one forward of ``backbone`` shows them.

    Args:
        backbone: Maps (N, 3, H, W) to a tuple of (N, C_i, H/s_i, W/s_i).
        size: Height and width of the image of zeros, in pixels.

    Raises:
        ValueError: The output is not a tuple or list of 4-D tensors, channels first.
    """
    shapes = map_shapes(backbone, size)
    name = type(backbone).__name__
    if layout(shapes) == NHWC:
        raise ValueError(
            f'{name}.forward returned {shapes}, with the channels last; permute every '
            'map to (N, C, H, W)'
        )
    if layout(shapes) != NCHW:
        raise ValueError(
            f'{name}.forward returned {shapes}; every map must be a tensor of shape '
            '(N, C, H, W)'
        )
    return spec_of(shapes, size)


def spec_of(shapes: Sequence[tuple[int, ...]], size: int) -> FeatureSpec:
    """Return the channels and strides of maps (N, C, H, W).

    Args:
        shapes: Of the maps.
        size: Height and width of the image that they are of, in pixels.
    """
    return FeatureSpec(
        channels=tuple(s[1] for s in shapes),
        strides=tuple(round(size / s[2]) for s in shapes),
    )


NCHW, NHWC = 'NCHW', 'NHWC'


def layout(shapes: Sequence[tuple | str]) -> str:
    """Return the order of the axes of the maps of a square image.

    Args:
        shapes: From :func:`map_shapes`.

    Returns:
        ``NCHW``; ``NHWC``; ``NLC`` for a sequence of patches; ``NC`` for vectors;
        else the shapes, or what the output is of, in words.
    """

    def axes(shape: tuple | str) -> str:
        if isinstance(shape, str):
            return shape
        if len(shape) == 4:
            # A map of a square image is square; only equal sides leave a doubt, and
            # channels first is what was asked for.
            _, first, second, third = shape
            return NHWC if first == second != third else NCHW
        return {2: 'NC', 3: 'NLC'}.get(len(shape), f'{len(shape)}-D')

    return ' and '.join(dict.fromkeys(map(axes, shapes)))


class NoMaps(ValueError):
    """A backbone returned neither a tuple nor a list."""


def map_shapes(
    backbone: nn.Module, size: int = 256, channels: int = 3
) -> list[tuple[int, ...] | str]:
    """Return the shape of each output of one forward, on the device of ``backbone``.

    It runs on zeros, in eval mode and without gradients; its mode is put back.

    Args:
        backbone: Maps (N, channels, H, W) to a tuple or list.
        size: Height and width of the image of zeros, in pixels.
        channels: Of the image.

    Returns:
        Shallow first; for what is not a tensor the name of its type.

    Raises:
        NoMaps: The output is not a tuple or list.
    """
    # `.train()` of many OpenMMLab backbones returns None: no chaining here.
    modes = [(module, module.training) for module in backbone.modules()]
    backbone.eval()
    device = next((p.device for p in backbone.parameters()), torch.device('cpu'))
    try:
        with torch.no_grad():
            maps = backbone(torch.zeros(1, channels, size, size, device=device))
    finally:
        for module, training in modes:
            module.training = training
    if not isinstance(maps, (tuple, list)):
        raise NoMaps(
            f'{type(backbone).__name__}.forward returned a {type(maps).__name__}; a '
            'backbone returns a tuple of maps (N, C, H, W): write `return (x,)` for a '
            'single one'
        )
    return [tuple(m.shape) if torch.is_tensor(m) else type(m).__name__ for m in maps]
