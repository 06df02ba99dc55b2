"""ConvNeXt: from timm, torchvision and the paper's repository.

The names wanted are mmpretrain's, which are ours too.
"""

from __future__ import annotations

import re

from plugin.weights.conventions.convention import Convention, Weights, rules

_timm = rules(
    (r'^stem\.', 'downsample_layers.0.'),
    (r'^stages\.(\d+)\.downsample\.', r'downsample_layers.\1.'),
    (r'^stages\.(\d+)\.blocks\.', r'stages.\1.'),
    (r'\.conv_dw\.', '.depthwise_conv.'),
    (r'\.mlp\.fc([12])\.', r'.pointwise_conv\1.'),
    (r'\.mlp\.grn\.weight$', '.grn.gamma'),
    (r'\.mlp\.grn\.bias$', '.grn.beta'),
    (r'^(head\.norm|norm_pre)\.', 'norm3.'),
)
_paper = rules(
    (r'\.dwconv\.', '.depthwise_conv.'),
    (r'\.pwconv([12])\.', r'.pointwise_conv\1.'),
    (r'^norm\.', 'norm3.'),
)
# Positions in torchvision's block, between which it permutes and has its activation.
_IN_BLOCK = {
    '0': 'depthwise_conv',
    '2': 'norm',
    '3': 'pointwise_conv1',
    '5': 'pointwise_conv2',
}
_in_block = rules(
    (
        r'^features\.(\d+)\.(\d+)\.block\.(\d+)\.',
        lambda m: f'features.{m[1]}.{m[2]}.{_IN_BLOCK.get(m[3], m[3])}.',
    ),
    (r'\.layer_scale$', '.gamma'),
    (r'^classifier\.0\.', 'norm3.'),
)


def _torchvision(weights: Weights) -> Weights:
    # features: stem, stage, downsampling, stage, and so on.
    def place(match: re.Match) -> str:
        number, what = divmod(int(match[1]), 2)
        return f'{"stages" if what else "downsample_layers"}.{number}.'

    return rules((r'^features\.(\d+)\.', place))(_in_block(weights))


CONVNEXT = (
    Convention(
        "timm's ConvNeXt",
        (r'stem\.0\.weight$', r'stages\.0\.blocks\.0\.conv_dw\.weight$'),
        _timm,
    ),
    Convention(
        "torchvision's ConvNeXt",
        (r'features\.0\.0\.weight$', r'features\.1\.0\.block\.0\.weight$'),
        _torchvision,
    ),
    Convention(
        "the ConvNeXt repository's",
        (r'downsample_layers\.0\.0\.weight$', r'stages\.0\.0\.dwconv\.weight$'),
        _paper,
    ),
)
