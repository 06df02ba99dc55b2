"""Backbones around backbones: a pyramid, or adapters. Imports necks, weights and decay.

Each is registered on import.
"""

from plugin.wrappers.peft_backbone import PEFTBackbone
from plugin.wrappers.pyramid_backbone import PyramidBackbone

__all__ = ['PEFTBackbone', 'PyramidBackbone']
