"""The layers of a timm model, after the ``group_matcher`` of the full model.

timm declares its layers on the full model. ``features_only`` wraps what is left of it
under changed names (``stages.0.blocks.1`` becomes ``stages_0.blocks.1``), and the
wrapper has no ``group_matcher``.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from plugin.timm_models.create import create

# Arguments of the wrapper, not of the full model.
_OF_THE_WRAPPER = {
    'features_only',
    'out_indices',
    'feature_cls',
    'output_stride',
    'pretrained',
    'checkpoint_path',
    'cache_dir',
}
# An added name that no layer claims, so that a head has a depth of its own also in
# models that timm builds without one (num_classes=0).
_HEAD = 'the_head_of_another_library'


def is_timm(module: nn.Module) -> bool:
    """Whether ``module`` is what ``timm.create_model`` returned."""
    return bool(_architecture(module))


def timm_layers(
    module: nn.Module, coarse: bool, timm_kwargs: Mapping | None
) -> tuple[dict[str, int], int, list[str]] | None:
    """Depth of each parameter, depth of the head, and parameters without a depth.

    Args:
        module: What ``timm.create_model`` returned, with ``features_only`` or without.
        coarse: Stages instead of blocks.
        timm_kwargs: What it was given beyond the name; None if that is not known.

    Returns:
        None when timm declares no layers for this architecture.

    Raises:
        ValueError: The model was given arguments that change its layers, and these
            are not known.

    Source: ``timm.optim.param_groups_layer_decay``, whose numbering this is.
    """
    from timm.models import group_parameters

    full = _full_model(_architecture(module), timm_kwargs or {})
    try:
        matcher = full.group_matcher(coarse=coarse)
    except (AttributeError, AssertionError, NotImplementedError):
        # timm 1.0.31: MetaFormer has no group_matcher, RDNet no coarse one.
        return None
    full.register_parameter(_HEAD, nn.Parameter(torch.empty(0)))
    layer_of = group_parameters(full, matcher, reverse=True)
    head = layer_of.pop(_HEAD)
    by_flat_name = {_flat(name): layer for name, layer in layer_of.items()}
    depths: dict[str, int] = {}
    unmatched = []
    for name, _ in module.named_parameters():
        # FeatureGetterNet holds the full model as `model`, FeatureHookNet as `body`.
        inner = name.partition('.')[2] if name.startswith(('model.', 'body.')) else name
        flat = next((f for f in (_flat(name), _flat(inner)) if f in by_flat_name), None)
        if flat is None:
            unmatched.append(name)
        else:
            depths[name] = by_flat_name[flat]
    if timm_kwargs is None:
        _check_complete(module, depths, head, set(layer_of.values()))
    return depths, head, unmatched


def _check_complete(
    module: nn.Module, depths: dict[str, int], head: int, layers: set[int]
) -> None:
    # out_indices may cut layers off at the end. A gap means another architecture.
    present = set(depths.values())
    last = max(present - {head}, default=0)
    gap = sorted(layer for layer in layers - present if layer < last)
    if gap:
        raise ValueError(
            f'{_architecture(module)} has the layers 0 to {head - 1}, but this model '
            f'lacks {gap}: it was built with arguments that change its layers. Write '
            "type='plugin.TIMMBackbone' with these in timm_kwargs, which are known here"
        )


def _architecture(module: nn.Module) -> str | None:
    return (getattr(module, 'pretrained_cfg', None) or {}).get('architecture')


def _flat(name: str) -> str:
    return name.replace('.', '_')


def _full_model(name: str, timm_kwargs: Mapping) -> nn.Module:
    kwargs = {k: v for k, v in timm_kwargs.items() if k not in _OF_THE_WRAPPER}
    try:
        with torch.device('meta'):
            return create(name, kwargs, droppable=kwargs)[0]
    except (RuntimeError, NotImplementedError):
        # timm 1.0.31: CSATv2 mixes devices. The seed of the training is left alone.
        with torch.random.fork_rng(devices=[]):
            return create(name, kwargs, droppable=kwargs)[0]
