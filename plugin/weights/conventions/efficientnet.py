"""EfficientNet from EfficientNet-PyTorch, whose files Lite models are spread in too.

The blocks are numbered through, and their norms are _bn0 to _bn2. The names wanted are
those of mmdet and mmpretrain, which agree, or timm's. It pads and norms as TensorFlow
does: in timm its weights are those of the models that begin with ``tf_``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from torch import Tensor

from plugin.weights.conventions.convention import Convention, Weights

_BLOCK = re.compile(r'_blocks\.(\d+)\.(\w+)\.(\w+)')
# Of the seven stages mmdet and mmpretrain join those that keep the stride.
_LAYERS = (1, 2, 3, 4, 4, 5, 5)
# Within a block: the part there, and in mmdet and mmpretrain.
_PARTS = {
    '_expand_conv': 'expand_conv.conv',
    '_bn0': 'expand_conv.bn',
    '_depthwise_conv': 'depthwise_conv.conv',
    '_bn1': 'depthwise_conv.bn',
    '_se_reduce': 'se.conv1.conv',
    '_se_expand': 'se.conv2.conv',
    '_project_conv': 'linear_conv.conv',
    '_bn2': 'linear_conv.bn',
}
_STEM_AND_HEAD = {
    '_conv_stem': 'layers.0.conv',
    '_bn0': 'layers.0.bn',
    '_conv_head': 'layers.6.conv',
    '_bn1': 'layers.6.bn',
}
_TIMM_STEM_AND_HEAD = {
    '_conv_stem': 'conv_stem',
    '_bn0': 'bn1',
    '_conv_head': 'conv_head',
    '_bn1': 'bn2',
    '_fc': 'classifier',
}
# A block that does not expand is another class in timm, with its parts counted anew.
_TIMM_PARTS = {
    '_expand_conv': 'conv_pw',
    '_bn0': 'bn1',
    '_depthwise_conv': 'conv_dw',
    '_bn1': 'bn2',
    '_se_reduce': 'se.conv_reduce',
    '_se_expand': 'se.conv_expand',
    '_project_conv': 'conv_pwl',
    '_bn2': 'bn3',
}
_TIMM_PARTS_UNEXPANDED = {
    **_TIMM_PARTS,
    '_bn1': 'bn1',
    '_project_conv': 'conv_pw',
    '_bn2': 'bn2',
}


def _places(weights: Mapping[str, Tensor]) -> dict[int, tuple[int, int]]:
    """Stage and place in it of each block; a stage is one number of channels."""
    places: dict[int, tuple[int, int]] = {}
    stage, place, channels = -1, 0, None
    for number in sorted({int(m[1]) for m in map(_BLOCK.match, weights) if m}):
        projection = weights.get(f'_blocks.{number}._project_conv.weight')
        if projection is not None and len(projection) != channels:
            stage, place, channels = stage + 1, 0, len(projection)
        places[number] = stage, place
        place += 1
    return places


def _renamed(
    weights: Weights,
    outer: Mapping[str, str],
    block: Callable[[int, int, str, bool], str],
) -> Weights:
    places = _places(weights)
    renamed = {}
    for name, tensor in weights.items():
        inner = _BLOCK.fullmatch(name)
        part, _, leaf = name.rpartition('.')
        if inner:
            number = int(inner[1])
            stage, place = places[number]
            expands = f'_blocks.{number}._expand_conv.weight' in weights
            name = f'{block(stage, place, inner[2], expands)}.{inner[3]}'
        elif part in outer:
            name = f'{outer[part]}.{leaf}'
        renamed[name] = tensor
    return renamed


def _openmmlab(weights: Weights) -> Weights:
    stages: dict[int, int] = {}
    for stage, _ in _places(weights).values():
        stages[stage] = stages.get(stage, 0) + 1

    def block(stage: int, place: int, part: str, expands: bool) -> str:
        if stage < len(_LAYERS):
            earlier = range(stage)
            place += sum(stages[s] for s in earlier if _LAYERS[s] == _LAYERS[stage])
            stage = _LAYERS[stage]
        return f'layers.{stage}.{place}.{_PARTS.get(part, part)}'

    return _renamed(weights, _STEM_AND_HEAD, block)


def _timm(weights: Weights) -> Weights:
    def block(stage: int, place: int, part: str, expands: bool) -> str:
        parts = _TIMM_PARTS if expands else _TIMM_PARTS_UNEXPANDED
        return f'blocks.{stage}.{place}.{parts.get(part, part)}'

    return _renamed(weights, _TIMM_STEM_AND_HEAD, block)


_ORIGIN = "EfficientNet-PyTorch's"
_MARKS = (r'_conv_stem\.weight$', r'_blocks\.0\._depthwise_conv\.weight$')
EFFICIENTNET = (Convention(_ORIGIN, _MARKS, _openmmlab, eps=1e-3),)
EFFICIENTNET_IN_TIMM = (Convention(_ORIGIN, _MARKS, _timm, eps=1e-3),)
