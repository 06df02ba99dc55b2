"""Necks of our own. Imports backbones and the rooms below.

Each is registered when this is imported.
"""

from plugin.necks.simple_feature_pyramid import SimpleFeaturePyramid

__all__ = ['SimpleFeaturePyramid']
