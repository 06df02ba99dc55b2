"""Private names of other packages that the audit and the matching rely on.

Each has a test that fails when upstream changes it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from mmengine.model.weight_init import PretrainedInit, update_init_info
from torch import Tensor, nn

# timm 1.0.31 has no public place through which all its pretrained weights pass.
TIMM_BUILDER = 'timm.models._builder'


def version(tensor: Tensor) -> int:
    """How often a tensor has been written to (torch 2.14, autograd's own counter)."""
    return tensor._version


def attach_metadata(state_dict: OrderedDict, metadata: Mapping | None) -> None:
    """Give a state dict the versions of its modules, where torch 2.14 keeps them."""
    state_dict._metadata = metadata


def note_initialized(module: nn.Module, initializer: PretrainedInit) -> None:
    """Tell mmengine 0.10.7's log of parameters what has filled ``module``."""
    if hasattr(module, '_params_init_info'):
        update_init_info(module, init_info=initializer._get_init_info())
