"""A model with the class defaults that matter to the maps written out."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from mmengine.config import ConfigDict

from plugin.measure.signatures import default_of, signature_of
from plugin.spec import Change, entry

if TYPE_CHECKING:
    from plugin.check.checked_config import CheckedConfig

# Arguments with which a class itself chooses maps, by the last part of a key.
NAMES = {
    'neck': ('num_outs', 'start_level', 'out_channels', 'scales', 'extra_maps'),
    'rpn_head': ('anchor_generator', 'prior_generator', 'strides'),
    'bbox_head': ('anchor_generator', 'prior_generator', 'strides'),
    'head_module': ('featmap_strides',),
    'decode_head': ('in_index',),
    'auxiliary_head': ('in_index',),
}
_PLACE = re.compile(r'model\.(?:bbox_head\.)?(\w+)(?:\[\d+\])?')


def with_defaults(checked: CheckedConfig) -> ConfigDict:
    """Return ``model`` with those defaults that the config leaves to the classes."""
    model = deepcopy(checked.model)
    for part in checked.parts:
        place = _PLACE.fullmatch(part.key)
        if place is None or part.target is None:
            continue
        node = entry(model, part.key)
        for name in NAMES.get(place.group(1), ()):
            if name in node or _another(part.target, name):
                continue
            default = default_of(part.target, name)
            if default is not None:
                node[name] = deepcopy(default)
    return model


def written_out(checked: CheckedConfig, change: Change) -> Change:
    """Return ``change``, of the whole dict if the config leaves that to the class."""
    holder, _, name = change.key.rpartition('.')
    try:
        entry(checked.model, holder)
    except (KeyError, AttributeError):
        whole = entry(with_defaults(checked), holder)
        return Change(holder, {**whole, name: change.value}, change.why)
    return change


def _another(target: Any, name: str) -> bool:
    """Return whether the class has its own argument for it, and does not use ``name``.

    For example, mmdet's RepPointsHead has ``point_strides`` besides ``strides``, and
    its GuidedAnchorHead an ``approx_anchor_generator``.
    """
    signature = signature_of(target)
    last = name.rpartition('_')[2]
    if last not in ('strides', 'generator') or signature is None:
        return False
    return any(n != name and n.endswith(f'_{last}') for n in signature.names)
