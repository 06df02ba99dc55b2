"""Pretrained weights. Imports timm_models and the rooms below."""
