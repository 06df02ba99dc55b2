"""Pretrained weights: files, matching, conventions, the audit and the patches.

Imports spec, libraries and timm_models.
"""
