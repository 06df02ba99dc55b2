"""ResNet: OpenMMLab's names are torchvision's, but for a stem of three convolutions.

That stem (ResNet-C, ResNet-D) is ``conv1.N`` with ``bn1`` after it in timm, one
sequence ``stem.N`` in mmdet and mmseg, and a sequence of pairs in mmpretrain.
"""

from __future__ import annotations

from plugin.pretrained.conventions import Convention, rules

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

RESNET = (
    Convention("timm's ResNet", _MARKS, _sequence),
    Convention("timm's ResNet", _MARKS, _pairs),
)
