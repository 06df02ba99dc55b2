"""Parameters of a backbone that are frozen for another reason than its stages."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)


def find_fixed(
    backbone: nn.Module, built: frozenset[str], freezes: frozenset[str]
) -> frozenset[str]:
    """Names of the parameters that no release of stages may touch.

    Outside of the frozen stages these are all that is frozen. Inside, it is what was
    frozen as built, if the class had not frozen anything by then. If it had, the rest
    of the backbone tells: in a ResNet with ``norm_cfg=dict(requires_grad=False)`` every
    norm is frozen, also where stages train. Where no such parameter is outside,
    ``norm_cfg`` decides for norms; for others there is only ``keep_frozen``.

    Args:
        backbone: The backbone.
        built: What was frozen in it before anybody called ``train()``.
        freezes: What its ``frozen_stages`` freezes.
    """
    if not freezes <= built:
        return built
    # A kind is such as the weight of a BatchNorm2d.
    kinds: dict[tuple[type, str], set[str]] = {}
    for prefix, module in backbone.named_modules():
        for name, _ in module.named_parameters(prefix, recurse=False):
            kind = type(module), name.rpartition('.')[2]
            kinds.setdefault(kind, set()).add(name)
    norm_cfg = getattr(backbone, 'norm_cfg', None) or {}
    norms_fixed = not norm_cfg.get('requires_grad', True)
    fixed = set(built - freezes)
    for (cls, _), names in kinds.items():
        outside = names - freezes
        if outside <= built if outside else norms_fixed and issubclass(cls, NORMS):
            fixed |= names & built
    return frozenset(fixed)


def match_names(backbone: nn.Module, parts: Sequence[str], label: str) -> set[str]:
    """Parameter names that hold one of ``parts``; ValueError if one is in none."""
    names = [name for name, _ in backbone.named_parameters()]
    matched = set()
    for part in parts:
        found = {name for name in names if part in name}
        if not found:
            raise ValueError(
                f'keep_frozen={part!r} is part of no parameter name of {label}; such '
                f'names are {", ".join(names[:3])}'
            )
        matched |= found
    return matched
