"""Pyramids of feature maps of one stride, as a plain ViT gives. Imports backbones.

As a neck (:class:`SimpleFeaturePyramid`), and as a wrapper around a backbone where a
model has no place for a second neck (:class:`PyramidBackbone`). Each is registered on
import.
"""

from plugin.necks.pyramid_backbone import PyramidBackbone
from plugin.necks.simple_feature_pyramid import SimpleFeaturePyramid

__all__ = ['PyramidBackbone', 'SimpleFeaturePyramid']
