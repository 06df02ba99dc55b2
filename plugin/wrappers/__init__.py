"""Wrappers around a backbone. Imports necks and the rooms below.

Each is registered on import.
"""

from plugin.wrappers.peft_backbone import PEFTBackbone
from plugin.wrappers.pyramid_backbone import PyramidBackbone

__all__ = ['PEFTBackbone', 'PyramidBackbone']
