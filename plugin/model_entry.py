"""The whole model of a config, without memory for its weights."""

from __future__ import annotations

from copy import deepcopy
from importlib import import_module

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn

from plugin.meta_device import asks_for_values, build_on_meta, without_weights


def build_model(cfg: Config) -> nn.Module:
    """The model of ``cfg`` on the meta device, in the mode that it is built in.

    Where a constructor asks for values that the meta device has not, with random
    weights on the CPU.

    Args:
        cfg: With ``model``, and ``default_scope`` where types have no scope.

    Raises:
        Exception: Whatever the registry or a constructor raises.
    """
    scope = cfg.get('default_scope', 'mmengine')
    if scope != 'mmengine':
        import_module(f'{scope}.models')
    model_cfg = without_weights(cfg.model)
    if 'data_preprocessor' in cfg:
        model_cfg.setdefault('data_preprocessor', cfg.data_preprocessor)
    with DefaultScope.overwrite_default_scope(scope):
        try:
            # Some constructors write into their config: mmdet's DINO into bbox_head.
            return build_on_meta(lambda: MODELS.build(deepcopy(model_cfg)))
        except (RuntimeError, NotImplementedError) as error:
            if not asks_for_values(error):
                raise
            return MODELS.build(model_cfg)
