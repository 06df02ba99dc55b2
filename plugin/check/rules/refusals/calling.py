"""Calling a constructor to hear whether it takes its arguments.

Nothing of this reads data: data sets and metrics are not called, since many read their
annotations when they are built.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from torch import nn

from plugin.config.parts import Part, registry_of
from plugin.measure.signatures import signature_of

REFUSALS = (TypeError, ValueError, AssertionError, KeyError, IndexError)
"""What a constructor raises when it does not like its arguments."""

CALLED = ('HOOKS', 'TRANSFORMS', 'OPTIMIZERS', 'PARAM_SCHEDULERS', 'LOG_PROCESSORS')
"""The registries whose parts are built on their own; a model is built as a whole."""


def refusal(part: Part, cfg: Mapping[str, Any]) -> Exception | None:
    """What the constructor of ``part`` has against the arguments in ``cfg``."""
    try:
        call(part, cfg)
    except REFUSALS as error:
        return error
    except Exception:  # It lacks a file, a package or the network: no mistake here.
        return None
    return None


def call(part: Part, cfg: Mapping[str, Any]) -> Any:
    """Build ``part`` with the arguments in ``cfg``."""
    args = ConfigDict(deepcopy(dict(cfg)))
    args.setdefault('type', part.type)
    if part.registry == 'OPTIMIZERS':
        return _optimizer(part, args)
    if part.registry == 'PARAM_SCHEDULERS':
        return _scheduler(part, args)
    args.pop('priority', None)
    with DefaultScope.overwrite_default_scope(part.scope):
        return registry_of(part.registry, part.scope).build(args)


def _optimizer(part: Part, args: dict) -> Any:
    signature = signature_of(part.target)
    # mmyolo's constructors take arguments of their own out of an optimizer's.
    args = {k: v for k, v in args.items() if not signature or k in signature.names}
    args.pop('type', None)
    return part.target([nn.Parameter(torch.zeros(1))], **args)


def _scheduler(part: Part, args: dict) -> Any:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], 0.1, momentum=0.9, weight_decay=0.1)
    for name in ('type', '_scope_', 'epoch_length'):
        args.pop(name, None)
    if args.pop('convert_to_iter_based', False):
        if not args.get('by_epoch', True):
            raise AssertionError(
                'convert_to_iter_based=True needs by_epoch=True, which is in epochs'
            )
        return part.target.build_iter_from_epoch(
            optimizer=optimizer, epoch_length=10, **args
        )
    return part.target(optimizer=optimizer, **args)
