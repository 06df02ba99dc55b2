"""The backbones that there are."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from torch import nn

from plugin.backbones import CATALOGUE
from plugin.libraries import SCOPES
from plugin.measure.backbone import registered
from plugin.measure.features import NCHW
from plugin.measure.forward import MeasuredBackbone
from plugin.measure.limits import TookTooLong, time_limit
from plugin.measure.signatures import arguments_of
from plugin.nearest import nearest

OURS, OWN = 'plugin', 'own'
GROUPS = (OURS, OWN, *SCOPES)
# What only a backbone has.
_SIGNS = ('out_indices', 'frozen_stages', 'feature_spec', 'get_layer_depth')
# Of one forward without values, in seconds: most take less than one.
_LONGEST_FORWARD = 10


@dataclass(frozen=True)
class Catalogue:
    """Backbones by where they are from.

    Attributes:
        groups: By one of ``GROUPS``, the types as a user writes them.
        missing: By library, why it is not in there.
    """

    groups: dict[str, list[str]]
    missing: dict[str, str]


def catalogue(only: str | None = None) -> Catalogue:
    """Return the backbones of this project, the user, and the installed libraries.

    Args:
        only: One of ``GROUPS``; None is all of them.
    """
    groups, missing = {}, {}
    if only in (None, OURS):
        groups[OURS] = [f'plugin.{entry.name}' for entry in CATALOGUE]
    for library in SCOPES:
        if only not in (None, library):
            continue
        if find_spec(library) is None:
            missing[library] = 'not installed'
            continue
        try:
            import_module(f'{library}.models')
        except Exception as error:
            # A version that does not suit another, as `doctor` tells.
            first = (str(error).splitlines() or [''])[0]
            missing[library] = f'not importable: {type(error).__name__}: {first[:200]}'
            continue
        groups[library] = _of_library(library)
    if only in (None, OWN):
        groups[OWN] = _of_user()
    return Catalogue({g: groups[g] for g in GROUPS if g in groups}, missing)


def timm_models(pattern: str) -> list[str]:
    """Return models of timm as a user writes them, ``timm:NAME``.

    Args:
        pattern: With ``*`` and ``?``; without, what holds it. One with a dot is for
            names with tags of weights.

    Raises:
        ValueError: None matches; the message has the nearest names.
    """
    import timm

    tags = '.' in pattern
    wild = any(sign in pattern for sign in '*?[')
    found = timm.list_models(pattern if wild else f'*{pattern}*', include_tags=tags)
    if not found:
        plain = pattern.translate(str.maketrans('', '', '*?[]')).partition('.')[0]
        near = nearest(plain, timm.list_models())
        raise ValueError(
            f'no model of timm matches {pattern}; the nearest names are '
            + ', '.join(f'timm:{name}' for name in near)
        )
    return [f'timm:{name}' for name in found]


def _of_library(library: str) -> list[str]:
    prefix = f'{library}.models.backbones.'
    return sorted(
        type_
        for type_, cls in registered()
        if type_.startswith(f'{library}.')
        and cls.__module__.startswith(prefix)
        and not inspect.isabstract(cls)
        # Blocks of backbones are registered beside them.
        and not {'in_channels', 'out_channels'} <= set(arguments_of(cls).required)
    )


def _of_user() -> list[str]:
    known = (__name__.partition('.')[0], 'torch', 'mmengine', 'mmcv', 'timm')
    return sorted(
        {
            type_
            for type_, cls in registered()
            if inspect.isclass(cls)
            and issubclass(cls, nn.Module)
            and cls.__module__.partition('.')[0] not in (*known, *SCOPES)
            and _is_backbone(type_, cls)
        }
    )


def _is_backbone(type_: str, cls: type) -> bool:
    """Return whether it has what only a backbone has, or gives maps of an image."""
    taken = arguments_of(cls).names
    if any(hasattr(cls, sign) or sign in taken for sign in _SIGNS):
        return True
    try:
        with time_limit(_LONGEST_FORWARD):
            measured = MeasuredBackbone(dict(type=type_)).forward((224, 224))
    except (Exception, TookTooLong):
        return False
    return measured.layout == NCHW
