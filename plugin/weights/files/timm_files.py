"""Pretrained weights for timm models, with proof that a file was really loaded."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from plugin.timm_models.create import create
from plugin.weights.files.refusal import CheckpointError
from plugin.weights.timm_loading import watch_timm


def create_with_weights(
    model_name: str,
    kwargs: Mapping[str, Any],
    pretrained: bool = False,
    checkpoint_path: str = '',
) -> nn.Module:
    """Create a timm model with random weights, with timm's, or with those of a file.

    Nothing is loaded on the meta device, where there is nothing to load into.

    Args:
        model_name: A name in timm's registry.
        kwargs: Arguments of ``timm.create_model``.
        pretrained: Load timm's weights, from its cache or the network.
        checkpoint_path: A file (.pth or .safetensors) with weights of the full model.

    Raises:
        ValueError: timm has no weights for this model, or the file can't be read or
            is not of this model.
    """
    # torch 2.14: get_default_device() says cpu inside `build_on_meta`.
    if torch.empty(0).is_meta or not (pretrained or checkpoint_path):
        return create(model_name, kwargs)[0]
    watch_timm()
    if checkpoint_path:
        return _from_file(model_name, kwargs, Path(checkpoint_path))
    try:
        return create(model_name, kwargs, pretrained=True)[0]
    except RuntimeError as error:
        if 'No pretrained weights exist' not in str(error):
            raise
        raise ValueError(
            f'timm has no pretrained weights for {model_name}; write pretrained=False, '
            'or give a file as checkpoint_path'
        ) from None


def _from_file(model_name: str, kwargs: Mapping[str, Any], path: Path) -> nn.Module:
    if path.suffix not in ('.pth', '.pt', '.bin', '.tar', '.safetensors'):
        raise ValueError(
            f'checkpoint_path={str(path)!r} must be a .pth or a .safetensors file'
        )
    if not path.is_file():
        raise ValueError(f'checkpoint_path={str(path)!r} is not a file')
    # timm's own loader, pointed at the file: it renames keys of other origins, resizes
    # position embeddings, adapts the first convolution and leaves the classifier out.
    # It does so before features_only renames the parameters, and reads weights only.
    overlay = dict(
        kwargs.get('pretrained_cfg_overlay') or {},
        file=str(path),
        source='',
        custom_load=False,
    )
    kwargs = dict(kwargs, pretrained_cfg_overlay=overlay, pretrained_strict=False)
    # It also says nothing when no key fits. What is the same as in a model from the
    # same seed has not been loaded.
    seed = torch.get_rng_state()
    before = _varied(create(model_name, dict(kwargs), _OPTIONAL)[0])
    torch.set_rng_state(seed)
    try:
        model, _ = create(model_name, kwargs, _OPTIONAL, pretrained=True)
    except CheckpointError:
        raise  # It names the file, and what is wrong with it.
    except Exception as error:
        raise ValueError(
            f'checkpoint_path={str(path)!r} does not load into {model_name}: '
            f'{str(error)[:400]}'
        ) from error
    missing = [
        name
        for name, param in model.named_parameters()
        if name in before and torch.equal(param, before[name])
    ]
    if before and len(missing) == len(before):
        raise ValueError(
            f'checkpoint_path={str(path)!r} holds no weight of {model_name}; if it is '
            "a checkpoint of mmengine, write init_cfg=dict(type='Pretrained', "
            "checkpoint=..., prefix='backbone.') instead"
        )
    if missing:
        print_log(
            f'{path.name} has nothing for {len(missing)} of the {len(before)} weight '
            f'tensors of {model_name}, which stay random: {", ".join(missing[:10])}',
            logger='current',
            level=logging.WARNING,
        )
    return model


# timm 1.0.31: MobileNetV3 and HardCoRe-NAS set it themselves.
_OPTIONAL = ('pretrained_strict',)


def _varied(model: nn.Module) -> dict[str, Tensor]:
    """Parameters from which a loaded one differs: not all ones or zeros."""
    return {
        name: param.detach()
        for name, param in model.named_parameters()
        if param.numel() > 1 and param.min() < param.max()
    }
