"""mmengine's ``paramwise_cfg``: its multipliers, parameter by parameter.

mmengine's own constructor leaves frozen parameters out (since 0.10.4) and writes a line
of log for each parameter, so its rules are applied here. Source of the rules:
``mmengine.optim.DefaultOptimWrapperConstructor``, 0.10.7.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mmengine.utils.dl_utils.parrots_wrapper import _BatchNorm, _InstanceNorm
from torch import nn

from plugin.nearest import did_you_mean

NORMS = (_BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm)
MMENGINE_KEYS = (
    'custom_keys',
    'bias_lr_mult',
    'bias_decay_mult',
    'norm_decay_mult',
    'flat_decay_mult',
    'dwconv_decay_mult',
    'dcn_offset_lr_mult',
    'bypass_duplicate',
)


@dataclass(frozen=True)
class Multipliers:
    """What ``paramwise_cfg`` says about one parameter.

    Attributes:
        lr: Factor of the learning rate.
        decay: Factor of the weight decay, or None when no rule names it.
        extra: Further settings of its group, from ``custom_keys``.
        key: The entry of ``custom_keys`` that applies, if any.
    """

    lr: float = 1.0
    decay: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None


def check_keys(paramwise_cfg: Mapping, allowed: Collection[str], owner: str) -> None:
    """Raise ValueError for a key that is not in ``allowed``, with the nearest one."""
    for key in paramwise_cfg:
        if key not in allowed:
            raise ValueError(unknown_key(key, allowed, owner))


def unknown_key(key: str, allowed: Collection[str], owner: str) -> str:
    """That ``paramwise_cfg`` has a key which is not allowed."""
    hint = did_you_mean(str(key), allowed) or '.'
    return (
        f'paramwise_cfg has the key {key!r}, which {owner} does not know{hint} '
        f'Allowed are {", ".join(allowed)}'
    )


def named_multipliers(
    model: nn.Module, paramwise_cfg: Mapping
) -> Iterator[tuple[str, nn.Parameter, Multipliers]]:
    """Every parameter once, frozen or not, with its name and its multipliers.

    Args:
        model: The model, without a wrapper.
        paramwise_cfg: mmengine's keys; others are not looked at.

    Yields:
        In the order of ``model.named_parameters()``.
    """
    modules = dict(model.named_modules())
    for full_name, param in model.named_parameters():
        prefix, _, name = full_name.rpartition('.')
        parent = modules.get(prefix.rpartition('.')[0]) if prefix else None
        yield (
            full_name,
            param,
            _multipliers(prefix, name, param, modules[prefix], parent, paramwise_cfg),
        )


def _multipliers(
    prefix: str,
    name: str,
    param: nn.Parameter,
    module: nn.Module,
    parent: nn.Module | None,
    cfg: Mapping,
) -> Multipliers:
    custom_keys = cfg.get('custom_keys', {})
    matching = [key for key in custom_keys if key in f'{prefix}.{name}']
    if matching:
        # The longest wins, and of several of one length the first by the alphabet.
        key = min(matching, key=lambda key: (-len(key), key))
        custom = dict(custom_keys[key])
        lr, decay = custom.pop('lr_mult', 1.0), custom.pop('decay_mult', None)
        return Multipliers(lr, decay, custom, key)

    is_norm = isinstance(module, NORMS)
    in_dcn = _is_dcn(parent)
    is_bias = name == 'bias' and not in_dcn
    lr = 1.0
    if is_bias and not is_norm:
        lr = _given(cfg.get('bias_lr_mult'), 1.0)
    if in_dcn and 'conv_offset' in prefix and isinstance(module, nn.Conv2d):
        lr = _given(cfg.get('dcn_offset_lr_mult'), lr)

    is_depthwise = isinstance(module, nn.Conv2d) and module.in_channels == module.groups
    rules = (
        (is_norm, 'norm_decay_mult'),
        (is_bias, 'bias_decay_mult'),
        (is_depthwise, 'dwconv_decay_mult'),
        (param.ndim == 1 and not in_dcn, 'flat_decay_mult'),
    )
    for applies, key in rules:
        if applies and cfg.get(key) is not None:
            return Multipliers(lr, cfg[key])
    return Multipliers(lr)


def _is_dcn(module: nn.Module | None) -> bool:
    # A model can't hold a deformable convolution of mmcv unless mmcv.ops is imported.
    ops = sys.modules.get('mmcv.ops')
    names = ('DeformConv2d', 'ModulatedDeformConv2d') if ops else ()
    return isinstance(module, tuple(getattr(ops, name) for name in names))


def _given(value: float | None, default: float) -> float:
    return default if value is None else value
