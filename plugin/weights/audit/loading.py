"""One checkpoint that was loaded into one module, and what is left of it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from plugin.weights.matching.fit import Fit, derived


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
            for name, tensor in tensors_of(self.module).items()
            if name in names
        }


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
    tensors = tensors_of(loading.module)
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


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """The state dict of ``module``, as the tensors themselves."""
    return {
        name: tensor
        for name, tensor in module.state_dict(keep_vars=True).items()
        if isinstance(tensor, Tensor)
    }


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
