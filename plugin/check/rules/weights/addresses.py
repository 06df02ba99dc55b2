"""Addresses of checkpoints: what they stand for on this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

import torch
from mmengine.runner import CheckpointLoader
from mmengine.runner.checkpoint import (
    get_deprecated_model_names,
    get_external_models,
    get_mmcls_models,
    get_torchvision_models,
)
from torch import Tensor

from plugin.libraries import SUCCESSORS
from plugin.measure.build import build_on_meta
from plugin.measure.shipped import Listed, listed
from plugin.nearest import CLOSE, likeness, nearest
from plugin.weights.files.contents import under, weights_of
from plugin.weights.files.download import place_of
from plugin.weights.files.package_files import PACKAGE
from plugin.weights.files.sources import read_checkpoint, register_sources

_TORCHVISION = ('torchvision://', 'modelzoo://')
_OPENMMLAB = ('open-mmlab://', 'openmmlab://')
_MMCLS = 'mmcls://'
# Libraries that another has taken in, and that other by its own name.
_TAKEN_IN = {**SUCCESSORS, **{new: new for new in SUCCESSORS.values()}}
TAKEN_IN = tuple(f'{library}://' for library in _TAKEN_IN)


def is_local(address: str) -> bool:
    """Return whether ``address`` is a path of this machine."""
    return not re.match(r'[\w:-]+://|hf[-_]hub:', address)


def known_names(address: str) -> Mapping[str, str] | None:
    """Return what mmengine knows under the scheme of ``address``; None for others."""
    if address.startswith(_TORCHVISION):
        return get_torchvision_models()
    if address.startswith(_OPENMMLAB):
        return {**get_external_models(), **dict.fromkeys(get_deprecated_model_names())}
    if address.startswith(_MMCLS):
        return get_mmcls_models()
    return None


def replacement(address: str, backbone: str) -> tuple[bool, str | None]:
    """Return what to write instead of an address that leads nowhere.

    Args:
        address: A checkpoint of a config.
        backbone: Name of the class that it is for.

    Returns:
        Whether it leads somewhere, as far as that is known without the network; and if
        not, the nearest address that does.
    """
    scheme, _, name = address.partition('://')
    names = known_names(address)
    if names is not None and name in names:
        return True, None
    if scheme in _TAKEN_IN:
        return False, _in_successor(_TAKEN_IN[scheme], name, backbone)
    if names is not None:
        return False, f'{scheme}://{nearest(name, names)[0]}'
    if address.startswith('timm://'):
        return _in_timm(name)
    register_sources()
    known = any(p and re.match(p, address) for p in CheckpointLoader._schemes)
    return is_local(address) or known, None


def table_of(address: str) -> Mapping[str, Tensor] | None:
    """Return the weights at ``address``: names and shapes, without their values.

    Nothing is downloaded.

    Returns:
        None where only the network has them.

    Raises:
        CheckpointError: A file is refused, or is no checkpoint.
        OSError: A file can't be read.
    """
    if is_local(address) or address.startswith(PACKAGE):
        return weights_of(read_checkpoint(address, 'meta'))
    names = known_names(address) or {}
    name = address.partition('://')[2]
    if address.startswith(_OPENMMLAB):
        name = get_deprecated_model_names().get(name, name)
    url = names.get(name) or address
    if url.startswith(('http://', 'https://')):
        path = place_of(url)
        if path.is_file():
            weights = weights_of(read_checkpoint(str(path), 'meta'))
            return under(weights, 'backbone.') or weights if names else weights
    if address.startswith(_TORCHVISION):
        return _of_torchvision(name)
    if address.startswith('timm://'):
        return _of_timm(name)
    return None


@cache
def _of_torchvision(name: str) -> Mapping[str, Tensor] | None:
    from torchvision.models import get_model

    try:
        model = build_on_meta(lambda: get_model(name.partition('.')[0]))
    except Exception:
        return None  # Some draw their weights by scipy, on the CPU.
    return model.state_dict()


@cache
def _of_timm(name: str) -> Mapping[str, Tensor] | None:
    import timm

    try:
        with torch.random.fork_rng(devices=[]):
            model = build_on_meta(lambda: timm.create_model(name))
    except Exception:
        return None
    return model.state_dict()


def is_timm_model(address: str) -> bool:
    """Return whether ``timm://MODEL[.TAG]`` names a model in timm's own registry."""
    from timm.models import is_model

    return is_model(address.partition('://')[2].partition('.')[0])


def _in_timm(name: str) -> tuple[bool, str | None]:
    from timm.models import is_model, is_model_pretrained, list_models

    # timm 1.0.31 lists no name that it has renamed, and takes them all.
    arch = name.partition('.')[0]
    renamed = is_model(arch) and arch not in list_models()
    if renamed or is_model_pretrained(name):
        return True, None
    names = list_models(pretrained=True, include_tags=False)
    return False, f'timm://{nearest(arch, names)[0]}'


def _in_successor(library: str, name: str, backbone: str) -> str | None:
    """Return the URL of a library's weights for ``backbone`` with the nearest name."""

    def alike(model: Listed) -> float:
        # What follows in a name are settings of its training.
        parts = model.name.split('_')[: name.count('_') + 1]
        return likeness(name, '_'.join(parts))

    def score(model: Listed) -> float:
        own = re.sub(r'\W', '', model.collection).lower() == backbone.lower()
        return alike(model) + 0.2 * own + 0.1 * ('in1k' in model.name)

    models = [model for model in listed(library) if model.weights]
    near = max(models, key=score, default=None)
    return near.weights if near and alike(near) > CLOSE else None
