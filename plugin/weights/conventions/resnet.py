"""ResNet and RegNet.

OpenMMLab's names for a ResNet are torchvision's, but for a stem of three convolutions
(ResNet-C, ResNet-D): that is ``conv1.N`` with ``bn1`` after it in timm, one sequence
``stem.N`` in mmdet and mmseg, and a sequence of pairs in mmpretrain. A RegNet is a
ResNet to OpenMMLab, and neither to timm nor to torchvision.
"""

from __future__ import annotations

from plugin.weights.conventions.convention import Convention, rules

_MARKS = (r'conv1\.0\.weight$', r'bn1\.weight$', r'layer1\.0\.conv1\.weight$')
_sequence = rules((r'^conv1\.(\d)\.', r'stem.\1.'), (r'^bn1\.', 'stem.7.'))
_pairs = rules(
    (r'^bn1\.', 'conv1.7.'),
    # Convolution, norm, activation, three times.
    (
        r'^conv1\.(\d)\.',
        lambda m: f'stem.{int(m[1]) // 3}.{"bn" if int(m[1]) % 3 else "conv"}.',
    ),
    # ResNet-D averages before it projects, but where the stride is 1 mmpretrain has
    # no place for that.
    (r'^layer1\.0\.downsample\.1\.', 'layer1.0.downsample.0.'),
    (r'^layer1\.0\.downsample\.2\.', 'layer1.0.downsample.1.'),
)
_timm_regnet = rules(
    (r'^stem\.conv\.', 'conv1.'),
    (r'^stem\.bn\.', 'bn1.'),
    (r'^s(\d)\.b(\d+)\.', lambda m: f'layer{m[1]}.{int(m[2]) - 1}.'),
    (r'\.conv(\d)\.conv\.', r'.conv\1.'),
    (r'\.conv(\d)\.bn\.', r'.bn\1.'),
    (r'\.downsample\.conv\.', '.downsample.0.'),
    (r'\.downsample\.bn\.', '.downsample.1.'),
)
_torchvision_regnet = rules(
    (r'^stem\.0\.', 'conv1.'),
    (r'^stem\.1\.', 'bn1.'),
    (r'^trunk_output\.block(\d)\.block\d-(\d+)\.', r'layer\1.\2.'),
    (r'\.proj\.([01])\.', r'.downsample.\1.'),
    (
        r'\.f\.([abc])\.([01])\.',
        lambda m: f'.{"bn" if m[2] == "1" else "conv"}{"abc".index(m[1]) + 1}.',
    ),
)

RESNET = (
    Convention("timm's ResNet", _MARKS, _sequence),
    Convention("timm's ResNet", _MARKS, _pairs),
    Convention(
        "timm's RegNet",
        (r'stem\.conv\.weight$', r's1\.b1\.conv1\.conv\.weight$'),
        _timm_regnet,
    ),
    Convention(
        "torchvision's RegNet",
        (r'stem\.0\.weight$', r'trunk_output\.block1\.block1-0\.'),
        _torchvision_regnet,
    ),
)
