"""The audit: how much of a model its pretrained weights have really filled.

mmengine loads non-strictly. A wrong prefix, or a file of another library, loads
nothing and only warns. Here it is one line where all is well, and an error where it
is not, before the first iteration.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from mmengine.logging import print_log
from torch import Tensor, nn

from plugin.pretrained.fit import derived
from plugin.pretrained.prefix import best_prefix

MIN_LOADED = 0.5
"""Share of the parameters below which pretrained weights count as not loaded."""

_VARIABLE = 'MM_BACKBONE_MIN_LOADED'


class PretrainedError(ValueError):
    """Pretrained weights that were asked for are not in the model."""


@dataclass
class Loading:
    """One checkpoint that was loaded into one module.

    Attributes:
        module: The module.
        source: The checkpoint, as the config has it.
        prefix: Of the weights in the checkpoint, if one was given.
        min_loaded: The threshold of this module; None is the process's.
        weights: All of the checkpoint, to find another prefix in; None if not known.
        loaded: Names in the module's state dict that were filled.
        versions: How often each of them had been written to by then.
        unexpected: Number of weights that were left over.
        mismatched: Names whose shapes did not fit, with the shape in the checkpoint.
        adapted: Number of weights that were resized.
        origin: Whose names the weights had, if they have been renamed.
        required: Whether too small a share is an error.
        ignored: Beginnings of names that don't matter.
    """

    module: nn.Module
    source: str
    prefix: str | None = None
    min_loaded: float | None = None
    weights: Mapping[str, Tensor] | None = None
    loaded: set[str] = field(default_factory=set)
    versions: dict[str, int] = field(default_factory=dict)
    unexpected: int = 0
    mismatched: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    adapted: int = 0
    origin: str | None = None
    required: bool = True
    ignored: tuple[str, ...] = ()

    def note_loaded(self, names: set[str]) -> None:
        """Remember that the tensors of these names have just been filled."""
        self.loaded = names
        self.versions = {
            name: tensor._version
            for name, tensor in _tensors(self.module).items()
            if name in names
        }


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


@dataclass(frozen=True)
class Tally:
    """A loading in numbers.

    Attributes:
        share: Of the parameters' elements, filled and still as they were filled.
        total: Elements of the parameters.
        missing: Names that were not filled.
        overwritten: Names that were filled and written to since.
    """

    share: float
    total: int
    missing: tuple[str, ...]
    overwritten: tuple[str, ...]


def tally(loading: Loading) -> Tally:
    """Count what has been loaded and is still there."""
    tensors = _tensors(loading.module)
    overwritten = tuple(
        name
        for name, version in loading.versions.items()
        if name in tensors and tensors[name]._version != version
    )
    sizes = {
        name: param.numel()
        for name, param in loading.module.named_parameters()
        if not name.startswith(loading.ignored)
    }
    kept = loading.loaded.difference(overwritten)
    total = sum(sizes.values())
    missing = tuple(
        name
        for name in tensors
        if not (name in loading.loaded or name in loading.mismatched or derived(name))
        and not name.startswith(loading.ignored)
    )
    loaded = sum(size for name, size in sizes.items() if name in kept)
    return Tally(loaded / total if total else 1.0, total, missing, overwritten)


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
    facts = _facts(loading, counted)
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
    tensors = _tensors(loading.module)
    # Norms and biases that the source never had are harmless.
    weighty = any(tensors[n].ndim > 1 for n in counted.missing)
    warn = weighty or counted.overwritten or loading.mismatched
    print_log(
        f'{title}: {percent(counted.share)} of {_millions(counted.total)} parameters '
        f'are from {loading.source}{names}; {facts}',
        logger='current',
        level=logging.WARNING if warn and loading.required else logging.INFO,
    )


def _facts(loading: Loading, counted: Tally) -> str:
    facts = [
        f'{len(counted.missing)} missing{_examples(counted.missing)}',
        f'{loading.unexpected} unexpected',
        f'{len(loading.mismatched)} mismatched{_examples(loading.mismatched)}',
    ]
    if loading.adapted:
        facts.append(f'{loading.adapted} resized')
    if counted.overwritten:
        names = counted.overwritten
        facts.append(f'{len(names)} overwritten after loading{_examples(names)}')
    return f'{", ".join(facts)} tensors'


def advice(loading: Loading, share: float) -> str:
    """What to do where a loading gave only ``share``, without a full stop."""
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
    if loading.mismatched:
        name, file = next(iter(loading.mismatched.items()))
        return (
            f'It is of another size: {name} is {tuple(_tensors(module)[name].shape)} '
            f"in the model and {file} in the file. Set the model's arguments to those "
            'of the checkpoint'
        )
    theirs = [n for n in weights if not n.endswith('num_batches_tracked')]
    return (
        f'No prefix would give more: the file has {", ".join(theirs[:2])}, the model '
        f'{", ".join(list(_tensors(module))[:2])} (python -m plugin keys shows all)'
    )


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {
        name: tensor
        for name, tensor in module.state_dict(keep_vars=True).items()
        if isinstance(tensor, Tensor)
    }


def _examples(names) -> str:
    names = sorted(names)
    if not names:
        return ''
    return f' ({", ".join(names[:3])}{", ..." if len(names) > 3 else ""})'


def percent(share: float) -> str:
    """``share`` as a user reads it."""
    # Never 100 % of less than all, nor 0 % of more than nothing.
    if 0 < share < 0.001:
        return 'less than 0.1 %'
    if 0.999 < share < 1:
        return '99.9 %'
    return f'{100 * share:.1f} %'


def _millions(count: int) -> str:
    return f'{count / 1e6:.1f} M' if count >= 1e5 else f'{count:,}'
