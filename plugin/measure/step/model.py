"""The model of a config, built for real, with a data preprocessor for small images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from importlib import import_module
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from plugin.measure.build import without_weights
from plugin.spec import dicts, type_name

# What preprocessors and batch augmentations call the size that they bring images to.
_SIZES = ('size', 'scale', 'random_size_range')
# Settings of a pipeline that hold the size of an image.
_OF_PIPELINE = ('crop_size', 'scale', 'img_scale', 'size')


def build_for_real(cfg: Config, size: int | None = None) -> nn.Module:
    """Build the model of ``cfg`` on the CPU with random weights, as training does.

    What synchronizes statistics between GPUs does not run on a CPU and is replaced as
    mmengine replaces it.

    Args:
        cfg: With ``model``, and ``default_scope`` where types have no scope.
        size: Height and width in pixels that fixed sizes of batches are set to.

    Raises:
        Exception: Whatever the registry, a constructor or an initializer raises.
    """
    scope = cfg.get('default_scope') or 'mmengine'
    if scope != 'mmengine':
        import_module(f'{scope}.models')
    model_cfg = ConfigDict(without_weights(cfg.model))
    if 'data_preprocessor' in cfg:
        model_cfg.setdefault('data_preprocessor', deepcopy(cfg.data_preprocessor))
    if size is not None and model_cfg.get('data_preprocessor'):
        _resize(model_cfg.data_preprocessor, size)
    with DefaultScope.overwrite_default_scope(scope):
        model = revert_sync_batchnorm(MODELS.build(model_cfg))
        if hasattr(model, 'init_weights'):
            model.init_weights()
    return model


def _resize(node: Any, size: int) -> None:
    """Set the sizes in a data preprocessor and its batch augmentations to ``size``."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            if name in _SIZES and _is_size(value):
                node[name] = (size, size)
            else:
                _resize(value, size)
    elif isinstance(node, (list, tuple)):
        for child in node:
            _resize(child, size)


def own_size(cfg: Config) -> int | None:
    """Pixels of the shorter side of the images that ``cfg`` trains on.

    Returns:
        None if neither its data preprocessor nor its pipeline says so.
    """
    preprocessor = cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor')
    # Of several transforms the largest: one may choose between them.
    for node in (preprocessor, cfg.get('train_dataloader')):
        found = list(_sizes_in(node))
        if found:
            return max(found)
    return None


def own_shape(cfg: Config) -> tuple[int, int] | None:
    """Height and width that the pipeline brings all images to, if they differ.

    Returns:
        None if it is a square, or not one shape.
    """
    for one in dicts(cfg.get('train_dataloader')):
        scale = one.get('scale')
        if type_name(one) == 'Resize' and not one.get('keep_ratio'):
            if isinstance(scale, (list, tuple)) and _is_size(scale):
                width, height = scale[0], scale[-1]
                return (height, width) if height != width else None
    return None


def _sizes_in(node: Any) -> Iterator[int]:
    for one in dicts(node):
        for name in _OF_PIPELINE:
            value = one.get(name)
            # RandomResize has a pair of them.
            if isinstance(value, (list, tuple)) and value:
                value = value[-1] if isinstance(value[-1], (list, tuple)) else value
            if 'type' in one and _is_size(value):
                yield min(value if isinstance(value, (list, tuple)) else [value])


def _is_size(value: Any) -> bool:
    numbers = value if isinstance(value, (list, tuple)) else [value]
    return 0 < len(numbers) <= 2 and all(
        type(number) is int and number >= 16 for number in numbers
    )
