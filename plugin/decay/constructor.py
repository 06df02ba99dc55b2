"""Layer-wise learning-rate decay for the backbone of any model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.model import is_model_wrapper
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn

from plugin.decay.layer_depth import LAYER_WISE, find_backbones, layer_depths
from plugin.decay.multipliers import Multipliers, named_multipliers
from plugin.decay.param_groups import as_in_training, param_groups, table
from plugin.decay.settings import RATES, mistakes
from plugin.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """Gives each layer of a backbone a learning rate, the lower the nearer the input.

    The head keeps the base rate; a layer has ``decay_rate ** (head depth - depth)`` of
    it. The depth comes from the backbone's own ``get_layer_depth``, from timm's
    ``group_matcher``, or from its stages (:mod:`plugin.decay.layer_depth`). 1-D
    tensors and biases get no weight decay. Frozen parameters are in groups of their
    own.

    Example::

        optim_wrapper = dict(
            constructor='LayerDecayOptimWrapperConstructor',
            paramwise_cfg=dict(decay_rate=0.95, decay_type='layer_wise'))

    Args:
        optim_wrapper_cfg: As for mmengine's constructor; ``optimizer.lr`` is needed.
        paramwise_cfg: Required is ``decay_rate`` (or ``layer_decay_rate``, the same
            under mmpretrain's name), in (0, 1]. ``decay_type`` is ``'layer_wise'``
            (default) or ``'stage_wise'``. ``num_layers`` is found from the model, and
            checked when given. mmengine's own keys (``custom_keys``,
            ``norm_decay_mult``, ...) multiply what comes out of this, and a decay
            multiplier also holds for 1-D tensors and biases.

    Raises:
        ValueError: A key or a value that is not allowed, or a backbone whose layers
            cannot be determined.

    Source: BEiT (arXiv:2106.08254), layer-wise decay.
    """

    def _validate_cfg(self) -> None:
        super()._validate_cfg()
        cfg = self.paramwise_cfg
        mistake = next(mistakes(cfg, self.optimizer_cfg, type(self).__name__), None)
        if mistake is not None:
            raise ValueError(mistake.message)
        self.decay_rate = float(next(cfg[k] for k in RATES if cfg.get(k) is not None))
        self.decay_type = cfg.get('decay_type', LAYER_WISE)

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper for ``model`` and log a table of its groups."""
        while is_model_wrapper(model):
            model = model.module
        optim_wrapper = super().__call__(model)
        if is_main_process():
            groups = param_groups(model, optim_wrapper)
            print_log('\n'.join([*self.notes, table(groups)]), logger='current')
        return optim_wrapper

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Append the groups of the model ``module`` to ``params``.

        As few as there are pairs of learning rate and weight decay, so that an
        optimizer works on long lists; and for frozen parameters one more a layer, so
        that a hook can treat what it unfreezes on its own. Stem first, head last.

        Args:
            params: Receives the groups. Besides the settings each has ``param_names``,
                ``lr_scale``, ``layer`` and ``frozen`` (as of now).
            module: The model, without a wrapper.
            prefix: Not used; it belongs to the method that this one replaces.
            is_dcn_module: Not used either.
        """
        depths, head = self._depths(module)
        groups: dict[tuple, dict] = {}
        seen_keys = set()
        with as_in_training(module):
            for name, param, mults in named_multipliers(module, self.paramwise_cfg):
                seen_keys.add(mults.key)
                depth, scale = depths.get(name, (head, 1.0))
                settings = self._settings(name, param, scale, mults)
                frozen = not param.requires_grad
                key = (*sorted(settings.items(), key=str), frozen, frozen and depth)
                new = dict(
                    params=[],
                    param_names=[],
                    lr_scale=scale * mults.lr,
                    layer=depth,
                    frozen=frozen,
                )
                group = groups.setdefault(repr(key), {**new, **settings})
                group['params'].append(param)
                group['param_names'].append(name)
                if group['layer'] != depth:
                    group['layer'] = None
        self.notes.append(f'layer 0 is the stem, {head} the head')
        unused = set(self.paramwise_cfg.get('custom_keys', {})) - seen_keys
        if unused:
            self.notes.append(
                f'no parameter is governed by custom_keys {sorted(unused)}'
            )
        params.extend(sorted(groups.values(), key=_order))

    def _depths(self, model: nn.Module) -> tuple[dict[str, tuple[int, float]], int]:
        """(depth, scale) by name in the model, and the depth shown for the head."""
        given = self.paramwise_cfg.get('num_layers')
        self.notes = [
            f'{type(self).__name__}: {self.decay_type}, decay_rate={self.decay_rate}'
        ]
        found = {
            prefix: (backbone, layer_depths(backbone, self.decay_type))
            for prefix, backbone in find_backbones(model).items()
        }
        deepest = max(layers.head for _, layers in found.values())
        depths = {}
        for prefix, (backbone, layers) in found.items():
            label = f'{prefix.rstrip(".") or "the model"} ({type(backbone).__name__})'
            if given is not None and given != layers.num_layers:
                raise ValueError(
                    f'num_layers={given} but {label} has {layers.num_layers} layers '
                    f'between stem and head; write num_layers={layers.num_layers}, or '
                    'leave it out'
                )
            self.notes.append(
                f'{label}: {layers.num_layers} layers, from {layers.source}'
            )
            for name, depth in layers.depths.items():
                scale = self.decay_rate ** (layers.head - depth)
                shown = deepest if depth == layers.head else depth
                depths[f'{prefix}{name}'] = (shown, scale)
        return depths, deepest

    def _settings(
        self, name: str, param: nn.Parameter, scale: float, mults: Multipliers
    ) -> dict[str, Any]:
        settings = {'lr': self.base_lr * (scale * mults.lr)}
        # mmdet's rule, with which the published results were made.
        decay = 0.0 if param.ndim == 1 or name.endswith('.bias') else 1.0
        if mults.decay is not None:
            decay = mults.decay
        if self.base_wd is not None:
            settings['weight_decay'] = self.base_wd * decay
        elif decay == 0:
            settings['weight_decay'] = 0.0
        return {**settings, **mults.extra}


def _order(group: Mapping) -> tuple:
    layer = -1 if group['layer'] is None else group['layer']
    return layer, group['lr'], group['frozen'], group.get('weight_decay', float('inf'))
