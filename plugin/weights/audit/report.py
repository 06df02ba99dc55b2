"""Messages of the audit, and where it stops a training."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from mmengine.logging import print_log
from torch import nn

from plugin.weights.audit.changes import changes, resized
from plugin.weights.audit.loading import Loading, Tally, tally, tensors_of
from plugin.weights.files.contents import without_wrappers
from plugin.weights.matching.fit import best_prefix


def facts_of(loading: Loading, counted: Tally) -> str:
    """Return the counts of a loading: missing, unexpected, mismatched and so on."""
    facts = [
        f'{len(counted.missing)} missing{_examples(counted.missing)}',
        f'{loading.unexpected} unexpected',
        f'{len(loading.mismatched)} mismatched{_examples(loading.mismatched)}',
    ]
    if loading.fit is not None and resized(loading.fit):
        facts.append(f'{resized(loading.fit)} resized')
    if counted.unusable:
        facts.append(f'{len(counted.unusable)} unusable ({reasons(counted.unusable)})')
    if counted.overwritten:
        names = counted.overwritten
        facts.append(f'{len(names)} overwritten after loading{_examples(names)}')
    return f'{", ".join(facts)} tensors'


def reasons(unusable: Mapping[str, str]) -> str:
    """Name weights that no model can use, and say why."""
    texts = [f'{name} {reason}' for name, reason in sorted(unusable.items())]
    return ', '.join(texts[:3]) + (', ...' if len(texts) > 3 else '')


def advice(
    loading: Loading, share: float, unusable: Mapping[str, str] | None = None
) -> str:
    """Say what to do where a loading gave only ``share``, without a full stop."""
    module, weights = loading.module, loading.weights
    if not weights:
        return (
            f'{type(module).__name__}.init_weights() does not load what init_cfg '
            'names: let it call super().init_weights()'
        )
    found = best_prefix(weights, module)
    if found is not None and found[1].share > share:
        prefix, better = found
        names = f' (in {better.origin} names)' if better.origin else ''
        if not prefix:
            return f'No prefix would give {percent(better.share)}{names}: leave it out'
        return f"prefix='{prefix}' would give {percent(better.share)}{names}"
    unusable = unusable or loading.unusable
    if unusable:
        return f'No model can use what it holds: {reasons(unusable)}'
    if loading.mismatched:
        name, file = next(iter(loading.mismatched.items()))
        return (
            f'It is of another size: {name} is {tuple(tensors_of(module)[name].shape)} '
            f"in the model and {file} in the file. Set the model's arguments to those "
            'of the checkpoint'
        )
    theirs = [n for n in weights if not n.endswith('num_batches_tracked')]
    return (
        f'No prefix would give more: the file has {", ".join(theirs[:2])}, the model '
        f'{", ".join(list(tensors_of(module))[:2])} (python -m plugin keys shows all)'
    )


def _examples(names: Iterable[str]) -> str:
    names = sorted(names)
    if not names:
        return ''
    return f' ({", ".join(names[:3])}{", ..." if len(names) > 3 else ""})'


def percent(share: float) -> str:
    """Return ``share`` as a user reads it."""
    # Never 100 % of less than all, nor 0 % of more than nothing.
    if 0 < share < 0.001:
        return 'less than 0.1 %'
    if 0.999 < share < 1:
        return '99.9 %'
    return f'{100 * share:.1f} %'


def millions(count: int) -> str:
    """Return a number of parameters as a user reads it."""
    return f'{count / 1e6:.1f} M' if count >= 1e5 else f'{count:,}'


MIN_LOADED = 0.5
"""Share of the parameters below which pretrained weights count as not loaded."""

_VARIABLE = 'MM_BACKBONE_MIN_LOADED'


class PretrainedError(ValueError):
    """Pretrained weights that were asked for are not in the model."""


def check_min_loaded(value: object, where: str) -> float:
    """Return ``value`` as a share, or ValueError."""
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
    """Return the module's threshold, else the environment's, else ``MIN_LOADED``."""
    if min_loaded is not None:
        return check_min_loaded(min_loaded, 'min_loaded')
    if os.environ.get(_VARIABLE):
        return check_min_loaded(os.environ[_VARIABLE], _VARIABLE)
    return MIN_LOADED


def conclude(loading: Loading, name: str) -> None:
    """Log the lines of one loading, or raise.

    Args:
        loading: What was loaded.
        name: Of its module in the model; '' if it is the model.

    Raises:
        PretrainedError: Less than the threshold was loaded into a backbone and is
            still there.
    """
    counted = tally(loading)
    if not counted.total:
        return
    title = type(loading.module).__name__
    title = f'{name} ({title})' if name else title
    facts = facts_of(loading, counted)
    least = threshold(loading.min_loaded)
    short = least > 0 and (counted.share < least or not counted.share)
    # What a class takes out of a file by its own code, it was meant to.
    on_purpose = loading.by_own_code and counted.share and loading.min_loaded is None
    too_little = ''
    if short and loading.required and not on_purpose:
        given = f" with prefix='{loading.prefix}'" if loading.prefix else ''
        too_little = (
            f'{title}: only {percent(counted.share)} of the parameters were loaded '
            f'from {loading.source}{given}; at least {percent(least)} are required: '
            f'{facts}. {advice(loading, counted.share, counted.unusable)}. '
            f'If this is intended, set min_loaded=0 in init_cfg or {_VARIABLE}=0'
        )
    if too_little and is_backbone(loading.module, name):
        raise PretrainedError(too_little)
    for text in _changes(loading):
        _log(f'{title}: {text}', logging.WARNING)
    if too_little:
        _log(too_little, logging.WARNING)
        return
    origin = loading.fit.origin if loading.fit is not None else None
    names = f' (in {origin} names)' if origin else ''
    tensors = tensors_of(loading.module)
    # Norms and biases that the source never had are harmless.
    weighty = any(tensors[n].ndim > 1 for n in counted.missing)
    bad = counted.overwritten or counted.unusable or loading.mismatched
    warn = loading.required and (weighty or short or bad)
    _log(
        f'{title}: {percent(counted.share)} of {millions(counted.total)} parameters '
        f'are from {loading.source}{names}; {facts}',
        logging.WARNING if warn or counted.unusable else logging.INFO,
    )


def _changes(loading: Loading) -> Iterator[str]:
    if loading.fit is not None:
        yield from changes(loading.fit, loading.source, loading.module)
    if loading.doubled:
        wrapper = loading.doubled[0].removesuffix(without_wrappers(loading.doubled[0]))
        yield (
            f'{loading.source} has {len(loading.doubled)} names both with and without '
            f'{wrapper}{_examples(loading.doubled)}; those without were loaded, and '
            f"prefix='{wrapper}' takes the others"
        )


def _log(text: str, level: int) -> None:
    print_log(text, logger='current', level=level)


_SEEING = re.compile(r'(^|\.)([^.]*backbone[^.]*|(image|visual|vision)_encoder)(\.|$)')


def is_backbone(module: nn.Module, name: str) -> bool:
    """Return whether a module of a model is its backbone, holds it, or is inside of it.

    Args:
        module: The module.
        name: In the model; '' if it is the model, or stands alone.
    """
    classes = (f'.{cls.__module__}.' for cls in type(module).__mro__)
    return (
        not name
        or _SEEING.search(name) is not None
        or any('.backbones.' in cls for cls in classes)
        or any(child.endswith('backbone') for child, _ in module.named_modules())
    )


_loadings: ContextVar[list[Loading] | None] = ContextVar('loadings', default=None)


@contextmanager
def session(model: nn.Module, *, apart: bool = False) -> Iterator[None]:
    """The initialization of ``model``; one inside of another belongs to that.

    Args:
        model: The module that is initialized.
        apart: Judge it at its own end, also inside of another one: for what is in the
            model only meanwhile under the names that its weights have.

    Raises:
        PretrainedError: At the end, if a loading falls short.
    """
    if _loadings.get() is not None and not apart:
        yield
        return
    loadings: list[Loading] = []
    token = _loadings.set(loadings)
    try:
        yield
    finally:
        _loadings.reset(token)
    names = {module: name for name, module in model.named_modules()}
    for loading in loadings:
        conclude(loading, names.get(loading.module, ''))


def record(loading: Loading) -> None:
    """Add a loading to the session; without one it is judged at once."""
    loadings = _loadings.get()
    if loadings is None:
        conclude(loading, '')
    else:
        loadings.append(loading)
