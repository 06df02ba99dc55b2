"""Necks of our own; each is registered on import."""

from plugin.necks.simple_feature_pyramid import SimpleFeaturePyramid

__all__ = ['SimpleFeaturePyramid']
