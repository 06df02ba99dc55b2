"""MobileNetV3 from torchvision, under mmpretrain's names.

timm's is left out: its norms have another epsilon, which no name tells.
"""

from __future__ import annotations

import re

from plugin.weights.conventions.convention import Convention, Weights

_PART = re.compile(r'features\.(\d+)\.block\.(\d+)\.(\w+)\.(\w+)')
_OUTER = re.compile(r'features\.(\d+)\.([01])\.(\w+)')
_ROLES = ('expand_conv', 'depthwise_conv', 'linear_conv')


def _torchvision(weights: Weights) -> Weights:
    # The parts of a block are numbered as they come: there may be no expansion, and
    # squeeze and excitation (fc1, fc2) may stand before the last.
    parts: dict[str, list[str]] = {}
    for name in weights:
        match = _PART.fullmatch(name)
        if match and not match[3].startswith('fc'):
            numbers = parts.setdefault(match[1], [])
            if match[2] not in numbers:
                numbers.append(match[2])
    # A file may have them in another order, such as that of the alphabet.
    parts = {block: sorted(numbers, key=int) for block, numbers in parts.items()}
    renamed = {}
    for name, tensor in weights.items():
        inner, outer = _PART.fullmatch(name), _OUTER.fullmatch(name)
        if inner and inner[3].startswith('fc'):
            name = f'layer{inner[1]}.se.conv{inner[3][2:]}.conv.{inner[4]}'
        elif inner:
            numbers = parts[inner[1]]
            role = _ROLES[-len(numbers) :][numbers.index(inner[2])]
            kind = 'bn' if inner[3] == '1' else 'conv'
            name = f'layer{inner[1]}.{role}.{kind}.{inner[4]}'
        elif outer:
            kind = 'bn' if outer[2] == '1' else 'conv'
            name = f'layer{outer[1]}.{kind}.{outer[3]}'
        renamed[name] = tensor
    return renamed


MOBILENET = (
    Convention(
        "torchvision's MobileNetV3",
        (
            r'features\.0\.0\.weight$',
            r'features\.1\.block\.0\.0\.weight$',
            r'features\.\d+\.block\.\d\.fc1\.',
        ),
        _torchvision,
    ),
)
