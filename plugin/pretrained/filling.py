"""Filling a module with what fits it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from plugin.pretrained.fit import Fit, derived
from plugin.pretrained.loading import Loading


def fill(loading: Loading, found: Fit, metadata: Mapping | None = None) -> None:
    """Load into the module of ``loading``, and note there what has been filled.

    Args:
        loading: Gets the counts.
        found: The weights.
        metadata: Versions of the modules in the checkpoint.
    """
    module = loading.module
    # What doesn't fit as it is may still be known to the module by an older name.
    everything = OrderedDict({**found.tensors, **found.rest})
    everything._metadata = metadata if found.origin is None else None
    try:
        result = module.load_state_dict(everything, strict=False)
        loading.mismatched = {}
        loading.unexpected = sum(not derived(n) for n in result.unexpected_keys)
    except Exception:
        result = module.load_state_dict(OrderedDict(found.tensors), strict=False)
        loading.mismatched = found.mismatched
        loading.unexpected = len(found.unexpected)
    loading.origin, loading.adapted = found.origin, len(found.adapted)
    loading.note_loaded(set(module.state_dict()) - set(result.missing_keys))
