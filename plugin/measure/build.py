"""Building models without memory for their weights.

Many constructors compute with small tensors: ``linspace(...).item()`` for stochastic
depth, index tables for relative positions. On the meta device those have no values, so
they stay on the CPU while the parameters, which are large, do not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from importlib import import_module
from typing import Any, TypeVar

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from torch import nn
from torch.overrides import TorchFunctionMode

from plugin.measure.limits import GIB
from plugin.timm_models.meta_device import ShapesAtOnce

Model = TypeVar('Model', bound=nn.Module)

_COMPUTED_WITH = {torch.linspace, torch.arange, torch.tensor}
# What building a model may take: some constructors loop as often as an argument says.
MEMORY, SECONDS = 6 * GIB, 30.0
# Elements, at most, of a tensor whose values a constructor may ask for.
_DECIDED_WITH = 1 << 16


class _ValuesOnCpu(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable,
        types: Sequence[type],
        args: tuple = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func in _COMPUTED_WITH and kwargs.get('device') is None:
            kwargs['device'] = 'cpu'
        result = func(*args, **kwargs)
        # What is decided with is small. BEiT's index tables for an image of 640 pixels
        # are 20 MB a block, and nobody looks into them.
        if isinstance(result, torch.Tensor) and result.numel() > _DECIDED_WITH:
            return result if result.is_meta else result.to('meta')
        return result


def build_on_meta(build: Callable[[], Model]) -> Model:
    """What ``build`` returns, all of it on the meta device.

    Args:
        build: Makes a module and loads no weights.

    Raises:
        Exception: Whatever ``build`` raises, also where it asks for values that only a
            real device has; the caller may try again without this function.
    """
    with torch.device('meta'), _ValuesOnCpu(), ShapesAtOnce():
        model = build()
    return model.to('meta')


def asks_for_values(error: Exception) -> bool:
    """Return whether a constructor failed only because tensors have no values."""
    return 'meta' in str(error).lower()


def without_weights(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the ``cfg`` of a model or backbone, without what loads weights in it.

    Args:
        cfg: ``init_cfg`` of type Pretrained, ``pretrained`` and ``checkpoint_path`` are
            taken out at every depth; random initialization stays.
    """

    def strip(node: Any) -> None:
        if isinstance(node, dict):
            init = node.get('init_cfg')
            inits = init if isinstance(init, (list, tuple)) else [init]
            if any(_is_pretrained(one) for one in inits):
                node['init_cfg'] = None
            if node.get('pretrained'):
                # True is TIMMBackbone's, a URL is mmseg's.
                node['pretrained'] = False if node['pretrained'] is True else None
            type_ = node.get('type')
            if str(getattr(type_, '__name__', type_)).endswith('TIMMBackbone'):
                # mmseg 1.2.2: its own downloads unless it is asked not to.
                node['pretrained'] = False
            if node.get('checkpoint_path'):
                node['checkpoint_path'] = ''
            for child in node.values():
                strip(child)
        elif isinstance(node, (list, tuple)):
            for child in node:
                strip(child)

    copy = deepcopy(cfg)
    strip(copy)
    return copy


def _is_pretrained(init: Any) -> bool:
    type_ = init.get('type') if isinstance(init, Mapping) else None
    return getattr(type_, '__name__', type_) in ('Pretrained', 'PretrainedInit')


def build_model(cfg: Config) -> nn.Module:
    """Build the model of ``cfg`` on the meta device, in the mode that it is built in.

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
