"""The audit: how much of a model its pretrained weights have really filled.

mmengine loads non-strictly. A wrong prefix, or a file of another library, loads
nothing and only warns. Here it is one line where all is well, and an error where it
is not, before the first iteration.
"""

from __future__ import annotations

import logging
import os

from mmengine.logging import print_log

from plugin.pretrained.loading import Loading, tally, tensors_of
from plugin.pretrained.wording import advice, facts_of, millions, percent

MIN_LOADED = 0.5
"""Share of the parameters below which pretrained weights count as not loaded."""

_VARIABLE = 'MM_BACKBONE_MIN_LOADED'


class PretrainedError(ValueError):
    """Pretrained weights that were asked for are not in the model."""


def check_min_loaded(value: object, where: str) -> float:
    """``value`` as a share, or ValueError."""
    try:
        share = float(value)
    except (TypeError, ValueError):
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError(
            f'{where}={value!r} must be a share of the parameters from 0 to 1; '
            f'{MIN_LOADED} is the default, 0 turns the error off'
        )
    return share


def threshold(min_loaded: float | None) -> float:
    """The module's own threshold, else the environment's, else ``MIN_LOADED``."""
    if min_loaded is not None:
        return check_min_loaded(min_loaded, 'min_loaded')
    if os.environ.get(_VARIABLE):
        return check_min_loaded(os.environ[_VARIABLE], _VARIABLE)
    return MIN_LOADED


def conclude(loading: Loading, name: str) -> None:
    """Log the line of one loading, or raise.

    Args:
        loading: What was loaded.
        name: Of its module in the model; '' if it is the model.

    Raises:
        PretrainedError: Less than the threshold was loaded and is still there.
    """
    counted = tally(loading)
    if not counted.total:
        return
    title = type(loading.module).__name__
    title = f'{name} ({title})' if name else title
    facts = facts_of(loading, counted)
    least = threshold(loading.min_loaded)
    if loading.required and least > 0 and (counted.share < least or not counted.share):
        given = f" with prefix='{loading.prefix}'" if loading.prefix else ''
        raise PretrainedError(
            f'{title}: {loading.source}{given} gave {percent(counted.share)} of the '
            f'parameters, and {percent(least)} is the least: {facts}. '
            f'{advice(loading, counted.share)}. If it is meant so, write min_loaded=0 '
            f'into init_cfg or set {_VARIABLE}=0'
        )
    names = f' (in {loading.origin} names)' if loading.origin else ''
    tensors = tensors_of(loading.module)
    # Norms and biases that the source never had are harmless.
    weighty = any(tensors[n].ndim > 1 for n in counted.missing)
    warn = weighty or counted.overwritten or loading.mismatched
    print_log(
        f'{title}: {percent(counted.share)} of {millions(counted.total)} parameters '
        f'are from {loading.source}{names}; {facts}',
        logger='current',
        level=logging.WARNING if warn and loading.required else logging.INFO,
    )
