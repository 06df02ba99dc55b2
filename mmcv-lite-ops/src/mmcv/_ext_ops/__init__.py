"""Operators of ``mmcv._ext`` in torchvision and plain torch, one family a module."""
