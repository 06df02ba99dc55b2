"""Find the arguments that make a backbone return maps (N, C, H, W)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from plugin.backbones.timm_backbone import TIMMBackbone
from plugin.measure.backbone import class_of, type_name
from plugin.measure.features import NCHW
from plugin.measure.forward import MeasuredBackbone
from plugin.measure.signatures import arguments_of

# Arguments that turn the maps on, in the backbones of mmpretrain 1.2.0 and mmseg 1.2.2.
SWITCHES: tuple[tuple[str, Any], ...] = (
    ('gap_before_final_norm', False),
    ('out_type', 'featmap'),
    ('reshape_last_feat', True),
    ('output_cls_token', False),
    ('gap', False),
    ('flatten', False),
)
_OURS = 'plugin.TIMMBackbone'


def as_maps(
    cfg: Mapping[str, Any], size: tuple[int, int], keep: Collection[str] = ()
) -> dict[str, Any] | None:
    """Return what to change so that a backbone gives a tuple of maps.

    Each way is tried by a forward, without memory for weights.

    Args:
        cfg: Of the backbone.
        size: Height and width of an image that it takes.
        keep: Arguments that are not to be changed.

    Returns:
        One argument with its value; a whole config, with its ``type``, where another
        class has to be taken; None if nothing that is known helps.
    """
    for change in ways_to_maps(cfg, keep):
        other = change if 'type' in change else {**cfg, **change}
        try:
            found = MeasuredBackbone(other).forward(size)
        except Exception:
            continue
        if found.layout == NCHW and not found.bare:
            return change
    return None


def ways_to_maps(
    cfg: Mapping[str, Any], keep: Collection[str] = ()
) -> Iterator[dict[str, Any]]:
    """Yield what may help, as :func:`as_maps` returns it, the plainest first."""
    cls = class_of(cfg)
    taken = {*cfg, *arguments_of(cls).names}
    for name, value in SWITCHES:
        if name in taken and name not in keep and cfg.get(name) != value:
            yield {name: value}
    if cls.__name__ == TIMMBackbone.__name__ and type_name(cfg) != _OURS:
        yield _as_ours(cfg)


def _as_ours(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ours takes for mmseg's and mmpretrain's TIMMBackbone arguments."""
    own = arguments_of(TIMMBackbone).names
    taken = {'type': _OURS, 'model_name': cfg['model_name']}
    others = {}
    for name, value in cfg.items():
        if name in own and value is not None:
            taken.setdefault(name, value)
        elif name not in ('type', '_scope_', 'init_cfg'):
            others[name] = value
    if others:
        taken['timm_kwargs'] = others
    return taken
