"""Differences between the maps of a timm model and what comes up in a backbone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from plugin.timm_models.anatomy import as_maps


@dataclass(frozen=True)
class MapDifference:
    """One map of the reference, and the nearest tensor in the backbone.

    Attributes:
        channels: Channels of the map.
        stride: Input pixels per cell, rounded.
        module: The module whose output is nearest, or ``output[i]`` if it is what the
            backbone returns; None if no output has this shape.
        largest: Largest difference of two elements, over all inputs.
        magnitude: Largest element of the reference's map.
        own_inputs: Largest difference where each model gets the image through its own
            pipeline; None without images, or where these differ in size.
    """

    channels: int
    stride: int
    module: str | None
    largest: float
    magnitude: float
    own_inputs: float | None = None

    @property
    def relative(self) -> float:
        """``largest`` as a share of ``magnitude``."""
        return self.largest / self.magnitude if self.magnitude else self.largest


@torch.no_grad()
def compare(
    backbone: nn.Module, model: nn.Module, inputs: Sequence[Tensor]
) -> tuple[MapDifference, ...]:
    """Hold each map of a timm model against all outputs in a backbone.

    Args:
        backbone: In eval mode.
        model: Built with ``features_only``, in eval mode.
        inputs: (N, C, H, W) each; both models get them.
    """
    worst: list[dict[str, float]] = []
    for image in inputs:
        maps = as_maps(model, model(image))
        found = _differences(backbone, image, maps)
        sizes = [float(x.abs().max()) for x in maps]
        if not worst:
            worst, magnitudes = found, sizes
        for at, new in zip(worst, found, strict=True):
            at.update({n: max(at[n], new.get(n, math.inf)) for n in at})
        magnitudes = [max(pair) for pair in zip(magnitudes, sizes, strict=True)]
    result = []
    for x, at, magnitude in zip(maps, worst, magnitudes, strict=True):
        name = _nearest(at, magnitude)
        stride = round(inputs[-1].shape[-2] / x.shape[2])
        largest = math.inf if name is None else at[name]
        result.append(MapDifference(x.shape[1], stride, name, largest, magnitude))
    return tuple(result)


@torch.no_grad()
def with_own_inputs(
    found: tuple[MapDifference, ...],
    backbone: nn.Module,
    model: nn.Module,
    pairs: Sequence[tuple[Tensor, Tensor]],
) -> tuple[MapDifference, ...]:
    """Return ``found`` with ``own_inputs``, for the outputs that are named there.

    Args:
        found: Of :func:`compare`.
        backbone: In eval mode.
        model: Built with ``features_only``, in eval mode.
        pairs: The backbone's input and the model's, of one size.
    """
    worst = [0.0] * len(found)
    for ours, theirs in pairs:
        differences = _differences(backbone, ours, as_maps(model, model(theirs)))
        for i, (entry, at) in enumerate(zip(found, differences, strict=True)):
            worst[i] = max(worst[i], at.get(entry.module, math.inf))
    return tuple(
        replace(entry, own_inputs=w) for entry, w in zip(found, worst, strict=True)
    )


def _nearest(at: dict[str, float], magnitude: float) -> str | None:
    """Of outputs that are as near the last: a stage and not its last block."""
    if not at:
        return None
    enough = max(2 * min(at.values()), 1e-6 * magnitude)
    return [name for name, difference in at.items() if difference <= enough][-1]


def _differences(
    backbone: nn.Module, image: Tensor, maps: Sequence[Tensor]
) -> list[dict[str, float]]:
    """For each map the largest difference to each output of its shape, as they come."""
    found: list[dict[str, float]] = [{} for _ in maps]

    def hold_against(name: str, output: object) -> None:
        outputs = output if isinstance(output, (tuple, list)) else (output,)
        for i, tensor in enumerate(outputs):
            for at, expected in zip(found, maps, strict=True):
                same = _in_the_shape_of(tensor, expected)
                if same is not None:
                    key = name or f'output[{i}]'
                    difference = float((same - expected).abs().max())
                    at[key] = min(difference, at.pop(key, math.inf))

    handles = [
        module.register_forward_hook(
            lambda _module, _inputs, output, name=name: hold_against(name, output)
        )
        for name, module in backbone.named_modules()
    ]
    try:
        backbone(image)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _in_the_shape_of(x: object, like: Tensor) -> Tensor | None:
    """``x`` as (N, C, H, W): as it is, channels last, or as tokens; else None."""
    if not isinstance(x, Tensor):
        return None
    n, c, h, w = like.shape
    if x.shape == like.shape:
        return x
    if tuple(x.shape) == (n, h, w, c):
        return x.permute(0, 3, 1, 2)
    if x.ndim == 3 and x.shape[0] == n and x.shape[2] == c:
        if 0 <= x.shape[1] - h * w <= 5:  # Class and register tokens come first.
            return x[:, -h * w :].transpose(1, 2).reshape(like.shape)
    return None
