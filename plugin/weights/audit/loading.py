"""One checkpoint that was loaded into one module, and what is left of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from torch import Tensor, nn

from plugin.weights.matching.fit import Fit, derived
from plugin.weights.matching.usable import not_a_number, unusable
from plugin.weights.upstream import attach_metadata, version

Written = dict[str, tuple[Tensor, int]]
"""Tensors of a module by name, each with how often it had been written to."""


@dataclass
class Loading:
    """One checkpoint that was loaded into one module.

    Attributes:
        module: The module.
        source: The checkpoint, as the config has it.
        prefix: Of the weights in the checkpoint, if one was given.
        min_loaded: The threshold of this module; None is the process's.
        weights: All of the checkpoint, to find another prefix in; None if not known.
        loaded: The tensors of the module that were filled.
        unexpected: Number of weights that were left over.
        mismatched: Names whose shapes did not fit, with the shape in the checkpoint.
        unusable: Names whose weights no model can use, with the reason.
        doubled: Names that the checkpoint has with and without ``module.``.
        fit: How the weights were matched; None where others did it.
        by_own_code: Whether the module has loaded them by its own ``init_weights``.
        required: Whether the config asks for this checkpoint, so that too small a
            share is an error.
        ignored: Beginnings of names that don't matter.
    """

    module: nn.Module
    source: str
    prefix: str | None = None
    min_loaded: float | None = None
    weights: Mapping[str, Tensor] | None = None
    loaded: Written = field(default_factory=dict)
    unexpected: int = 0
    mismatched: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    unusable: Mapping[str, str] = field(default_factory=dict)
    doubled: tuple[str, ...] = ()
    fit: Fit | None = None
    by_own_code: bool = False
    required: bool = True
    ignored: tuple[str, ...] = ()

    def note_loaded(self, names: set[str]) -> None:
        """Remember that the tensors of these names have just been filled."""
        now = written(self.module)
        self.loaded = {name: now[name] for name in names if name in now}


@dataclass(frozen=True)
class Tally:
    """A loading in numbers.

    Attributes:
        share: Of the parameters' elements, filled and still as they were filled.
        total: Elements of the parameters.
        missing: Names that were not filled.
        overwritten: Names that were filled and written to since.
        unusable: Names whose weights no model can use, with the reason.
    """

    share: float
    total: int
    missing: tuple[str, ...]
    overwritten: tuple[str, ...]
    unusable: Mapping[str, str]


def tally(loading: Loading) -> Tally:
    """Count what has been loaded and is still there."""
    tensors = tensors_of(loading.module)
    overwritten = tuple(
        name
        for name, state in loading.loaded.items()
        if name in tensors and not _is_still(tensors[name], state)
    )
    params = {
        name: param
        for name, param in loading.module.named_parameters()
        if not name.startswith(loading.ignored)
    }
    unusable = dict(loading.unusable)
    for name in loading.loaded:
        if name in tensors and name not in overwritten:
            reason = not_a_number(tensors[name], learnt=name in params)
            if reason is not None and not derived(name):
                unusable.setdefault(name, reason)
    kept = loading.loaded.keys() - set(overwritten) - unusable.keys()
    total = sum(param.numel() for param in params.values())
    accounted = {*loading.loaded, *loading.mismatched, *unusable}
    missing = tuple(
        name
        for name in tensors
        if not (name in accounted or derived(name))
        and not name.startswith(loading.ignored)
    )
    loaded = sum(param.numel() for name, param in params.items() if name in kept)
    share = loaded / total if total else 1.0
    return Tally(share, total, missing, overwritten, unusable)


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Return the state dict of ``module``, as the tensors themselves."""
    return {
        name: tensor
        for name, tensor in module.state_dict(keep_vars=True).items()
        if isinstance(tensor, Tensor)
    }


def written(module: nn.Module) -> Written:
    """Return the tensors of ``module``, each with how often it has been written to."""
    return {name: (t, version(t)) for name, t in tensors_of(module).items()}


def changed(before: Written, module: nn.Module) -> set[str]:
    """Return names in ``module`` that were written to since ``before``, or are new."""
    return {
        name
        for name, tensor in tensors_of(module).items()
        if name not in before or not _is_still(tensor, before[name])
    }


def _is_still(tensor: Tensor, state: tuple[Tensor, int]) -> bool:
    # load_state_dict(assign=True) puts another tensor into the place.
    return tensor is state[0] and version(tensor) == state[1]


class Observation:
    """Records what others' calls of ``load_state_dict`` bring into a module.

    Attributes:
        called: Whether there was a call.
        loaded: Names that were filled from elsewhere than the module itself.
        unexpected: Number of weights that were left over.
        mismatched: Names whose shapes did not fit, with the shape that was given.
        unusable: Names whose weights no model can use, with the reason.
    """

    def __init__(self) -> None:
        self.called = False
        self.loaded: set[str] = set()
        self.unexpected = 0
        self.mismatched: dict[str, tuple[int, ...]] = {}
        self.unusable: dict[str, str] = {}
        self._before: Written = {}
        self._own: set[str] = set()

    def before(
        self, module: nn.Module, state_dict: Mapping, prefix: str, *_: object
    ) -> None:
        """Look at what is about to be loaded, as a hook of torch."""
        if prefix:
            return  # A module around this one is loaded.
        self.called = True
        self._before = written(module)
        tensors = tensors_of(module)
        learnt = {name for name, _ in module.named_parameters()}
        self._own = set()
        self.unexpected = 0
        for name, given in state_dict.items():
            if not isinstance(given, Tensor):
                continue
            like = tensors.get(name)
            if like is None:
                self.unexpected += not derived(name)
            elif given.shape != like.shape:
                self.mismatched[name] = tuple(given.shape)
            elif _is_same_memory(given, like):
                self._own.add(name)  # Its own state dict, with some of it replaced.
            elif not derived(name):
                reason = unusable(given, like, name in learnt)
                if reason is not None:
                    self.unusable[name] = reason

    def after(self, module: nn.Module, incompatible: tuple) -> None:
        """Note what has been filled, as a hook of torch."""
        if self._before:
            self.loaded |= changed(self._before, module) - self._own
            self._before = {}


@contextmanager
def observed(module: nn.Module) -> Iterator[Observation]:
    """Observe the loads into ``module`` meanwhile."""
    observation = Observation()
    handles = (
        module.register_load_state_dict_pre_hook(observation.before),
        module.register_load_state_dict_post_hook(observation.after),
    )
    try:
        yield observation
    finally:
        for handle in handles:
            handle.remove()


def _is_same_memory(one: Tensor, other: Tensor) -> bool:
    strided = one.layout == other.layout and not (one.is_meta or one.is_quantized)
    return strided and one.numel() > 0 and one.data_ptr() == other.data_ptr()


def fill(loading: Loading, found: Fit, metadata: Mapping | None = None) -> None:
    """Load into the module of ``loading``, and note there what has been filled.

    Args:
        loading: Gets the counts.
        found: The weights.
        metadata: Versions of the modules in the checkpoint.
    """
    module = loading.module
    before = written(module)
    # What doesn't fit as it is may still be known to the module by an older name, or
    # in an older shape.
    everything = OrderedDict({**found.tensors, **found.rest})
    attach_metadata(everything, metadata if found.origin is None else None)
    try:
        result = module.load_state_dict(everything, strict=False)
        loading.mismatched = {}
        loading.unexpected = sum(not derived(n) for n in result.unexpected_keys)
    except RuntimeError as error:
        if not found.mismatched or 'size mismatch' not in str(error):
            raise
        module.load_state_dict(OrderedDict(found.tensors), strict=False)
        loading.mismatched = found.mismatched
        loading.unexpected = len(found.unexpected)
    loading.fit = found
    loading.unusable = found.unusable
    loading.note_loaded(changed(before, module))
