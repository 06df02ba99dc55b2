"""Code that the patches run while mmengine initializes a model.

``init_cfg=dict(type='Pretrained', ...)`` renames, resizes and adapts weights. A class
that loads in an ``init_weights`` of its own is observed. Only the classes in
:data:`FILLED_IN` get what their own code leaves out.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FunctionType

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.model.weight_init import PretrainedInit
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from plugin.weights.audit.loading import (
    Loading,
    Written,
    changed,
    fill,
    observed,
    written,
)
from plugin.weights.audit.report import check_min_loaded, record, session
from plugin.weights.files.contents import doubled, metadata_of, under, weights_of
from plugin.weights.files.refusal import check_holds_weights
from plugin.weights.files.sources import read_checkpoint
from plugin.weights.matching.fit import Fit, fit
from plugin.weights.matching.usable import unusable
from plugin.weights.patching import install_late, replace_method
from plugin.weights.upstream import note_initialized

FILLED_IN = {
    'mmdet.models.backbones.swin.SwinTransformer': (
        'keeps names that begin with backbone. alone, and stops where there are none'
    ),
    'mmdet.models.backbones.pvt.PyramidVisionTransformer': (
        'takes names without a prefix alone, and ignores the one in init_cfg'
    ),
    'mmdet.models.backbones.detectors_resnet.DetectoRS_ResNet': (
        'takes names without a prefix alone, and ignores the one in init_cfg'
    ),
    'mmseg.models.backbones.swin.SwinTransformer': (
        'takes names with backbone. or without, and stops at absolute positions'
    ),
    'mmseg.models.backbones.vit.VisionTransformer': (
        'takes names without a prefix alone, and ignores the one in init_cfg'
    ),
    'mmseg.models.backbones.mae.MAE': (
        'takes names without a prefix alone, and stops at tables of another size'
    ),
    'mmseg.models.backbones.beit.BEiT': (
        'takes names without a prefix alone, and stops at tables of another size'
    ),
    'mmseg.models.backbones.pidnet.PIDNet': (
        'takes bare weights alone, and nothing from a file that holds a state_dict'
    ),
}
"""Classes of mmdet 3.3.0 and mmsegmentation 1.2.2 whose own loading leaves out weights.

For each, what its ``init_weights`` does with ``init_cfg=dict(type='Pretrained')``. Read
as well, and left alone: mmseg's SAN head and CLIP text encoder load one part of a file
under a fixed prefix, as ``Pretrained_Part`` asks; its VPD and mmpretrain's MILAN load
while they are built, before any ``init_cfg``.
"""


# Replacements, in the order in which patches.py lists them.


def init_weights(original: Callable) -> Callable:
    """An ``init_weights`` of which the audit gives an account."""

    def init_weights(self: nn.Module, *args, **kwargs):
        if _watch_of(self) is not None:
            return original(self, *args, **kwargs)
        with session(self), _watching(self) as watch:
            try:
                result = original(self, *args, **kwargs)
            except Exception as error:
                if not watch.fill_after(error):
                    raise
                result = None
            watch.conclude()
            return result

    return init_weights


def construct(original: Callable) -> Callable:
    """``BaseModule.__init__``, after which the class's own init_weights is observed."""

    def __init__(self: nn.Module, *args, **kwargs) -> None:
        original(self, *args, **kwargs)
        install_late()  # timm is imported by those who use it.
        cls = _definer(type(self))
        # That of BaseModule itself is a patch of its own.
        if cls is not BaseModule and isinstance(
            vars(cls)['init_weights'], FunctionType
        ):
            replace_method(cls, 'init_weights', init_weights)

    return __init__


def construct_pretrained(original: Callable) -> Callable:
    """``PretrainedInit.__init__`` with ``min_loaded``."""

    def __init__(
        self: PretrainedInit,
        checkpoint: str,
        prefix: str | None = None,
        map_location: str = 'cpu',
        min_loaded: float | None = None,
    ) -> None:
        original(self, checkpoint, prefix, map_location)
        if min_loaded is not None:
            check_min_loaded(min_loaded, 'min_loaded')
        self.min_loaded = min_loaded

    return __init__


def load_pretrained(original: Callable) -> Callable:
    """What ``init_cfg=dict(type='Pretrained', ...)`` does, in any names.

    ``prefix`` is taken at its word.
    """

    def __call__(self: PretrainedInit, module: nn.Module) -> None:
        what = f'{self.prefix} in model' if self.prefix else 'model'
        print_log(f'load {what} from: {self.checkpoint}', logger='current')
        watch = _watch_of(module)
        if watch is not None:
            watch.audited = True
        with unwatched():
            checkpoint = CheckpointLoader.load_checkpoint(
                self.checkpoint, self.map_location, logger='current'
            )
            check_holds_weights(checkpoint, str(self.checkpoint))
            weights = weights_of(checkpoint)
            loading = Loading(
                module,
                str(self.checkpoint),
                self.prefix,
                getattr(self, 'min_loaded', None),
                weights,
                doubled=() if self.prefix else doubled(weights),
            )
            metadata = metadata_of(checkpoint)
            fill(
                loading,
                fit(under(weights, self.prefix), module),
                metadata and under(metadata, self.prefix),
            )
        record(loading)
        note_initialized(module, self)

    return __call__


def load_checkpoint(original: Callable) -> Callable:
    """``CheckpointLoader.load_checkpoint``, of which whoever is initialized knows."""

    def load_checkpoint(cls, filename, map_location=None, logger='current'):
        checkpoint = original(cls, filename, map_location, logger)
        watches = _watches.get()
        if watches:
            check_holds_weights(checkpoint, str(filename))
            watches[-1].note_read(str(filename), checkpoint)
        return checkpoint

    return load_checkpoint


# Observing


class Watch:
    """One module while its ``init_weights`` runs; changes nothing.

    Attributes:
        module: The module.
        audited: Whether its weights are accounted for elsewhere.
        loads: What ``load_state_dict`` brings into it.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.audited = False
        self._cfg = pretrained_cfg(module) or {}
        # DetectoRS takes the name out of its init_cfg.
        self._named = self._cfg.get('checkpoint') or getattr(module, 'pretrained', None)
        self._was_init = getattr(module, 'is_init', False)
        self._source: str | None = None
        self._weights: dict[str, Tensor] | None = None
        self._before: Written = {}

    def observe(self) -> Iterator[Watch]:
        """Yield itself while the loads into the module are observed."""
        with observed(self.module) as self.loads:
            yield self

    def note_read(self, source: str, checkpoint: dict) -> None:
        """Note that the module has read a checkpoint."""
        self._source = source
        self._weights = weights_of(checkpoint)
        self._before = written(self.module)

    def fill_after(self, error: Exception) -> bool:
        """Load in the place of the module's own code, which has raised.

        Returns:
            False if the error is not one to be answered like that.
        """
        return False

    def conclude(self) -> None:
        """Record what the module has loaded by itself, or that it has not."""
        wanted = bool(self._cfg) and not self._was_init
        if self.audited or (self._source is None and not wanted):
            return
        loading = self.new_loading()
        if self.loads.called:
            loading.note_loaded(self.loads.loaded)
            loading.unexpected = self.loads.unexpected
            loading.mismatched = self.loads.mismatched
            loading.unusable = self.loads.unusable
        elif self._source is not None:
            # It may have loaded piece by piece.
            loading.note_loaded(changed(self._before, self.module))
        else:
            loading.note_loaded(_found_in(loading.source, self.module))
        loading.by_own_code = True
        record(loading)

    def new_loading(self) -> Loading:
        """Return the account of what the module loads."""
        return Loading(
            self.module,
            self._source or str(self._named),
            self._cfg.get('prefix'),
            self._cfg.get('min_loaded'),
            self._weights,
            required=isinstance(self._named, str),
        )


class FillingWatch(Watch):
    """One of the classes in ``FILLED_IN``: gets what covers more of it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__(module)
        self._fit: Fit | None = None

    def observe(self) -> Iterator[Watch]:
        """Yield itself while the loads into the module are seen to and observed."""
        handle = self.module.register_load_state_dict_pre_hook(self._before_loading)
        try:
            yield from super().observe()
        finally:
            handle.remove()

    def _before_loading(
        self, module: nn.Module, state_dict: dict, prefix: str, *_: object
    ) -> None:
        """Put what the module is about to load into its names and shapes."""
        if prefix or self.audited or self._weights is None:
            return
        tensors = {n: t for n, t in state_dict.items() if isinstance(t, Tensor)}
        found = given = fit(tensors, module)
        if found.matched < found.total:
            found = max(given, self._fit_whole(), key=lambda f: f.matched)
        exact = not (found.adapted or found.mismatched or found.dropped)
        if found.origin or found.unusable or found is not given or not exact:
            state_dict.clear()
            state_dict.update(found.tensors)
        self._fit = found

    def fill_after(self, error: Exception) -> bool:
        """Load by name and shape where the class's own code stops at the file."""
        if self._weights is None or self._fit is not None or self.audited:
            return False
        if isinstance(error, MemoryError) or not _is_theirs(error):
            return False
        self._fit = self._fit_whole()
        loading = self.new_loading()
        if not self._fit.loaded and not loading.required:
            return False
        print_log(
            f'{type(self.module).__name__}.init_weights() stopped at {loading.source} '
            f'({type(error).__name__}: {error}); its weights are loaded by their names '
            'and shapes instead',
            logger='current',
            level=logging.WARNING,
        )
        self.audited = True
        if self._fit.loaded:
            fill(loading, self._fit)
        record(loading)
        return True

    def conclude(self) -> None:
        """Record what has been loaded, with the way it was matched."""
        if self.audited or self._fit is None:
            super().conclude()
            return
        loading = self.new_loading()
        loading.note_loaded(self.loads.loaded)
        loading.mismatched = self._fit.mismatched
        loading.unusable = self._fit.unusable
        loading.unexpected = len(self._fit.unexpected)
        loading.fit = self._fit
        record(loading)

    def _fit_whole(self) -> Fit:
        """Return all of the checkpoint; such code takes either prefix."""
        prefixes = dict.fromkeys((self._cfg.get('prefix') or '', '', 'backbone.'))
        fits = [fit(under(self._weights, p), self.module) for p in prefixes]
        return max(fits, key=lambda f: f.matched)


# The innermost last.
_watches: ContextVar[tuple[Watch, ...]] = ContextVar('watches', default=())


@contextmanager
def _watching(module: nn.Module) -> Iterator[Watch]:
    watch = (FillingWatch if is_filled_in(module) else Watch)(module)
    token = _watches.set((*_watches.get(), watch))
    try:
        yield from watch.observe()
    finally:
        _watches.reset(token)


@contextmanager
def unwatched() -> Iterator[None]:
    """Read within this what no class of the model loads by its own code."""
    token = _watches.set(())
    try:
        yield
    finally:
        _watches.reset(token)


def _watch_of(module: nn.Module) -> Watch | None:
    """Return the watch of ``module``, if its init_weights is already running."""
    return next((w for w in _watches.get() if w.module is module), None)


def _definer(cls: type) -> type:
    """Return the class that has the ``init_weights`` of ``cls``, a BaseModule."""
    return next(c for c in cls.__mro__ if 'init_weights' in vars(c))


def is_filled_in(module: nn.Module) -> bool:
    """Return whether ``FILLED_IN`` has the ``init_weights`` of ``module``."""
    cls = _definer(type(module))
    known = f'{cls.__module__}.{cls.__qualname__}' in FILLED_IN
    named = getattr(module, 'pretrained', None)
    return known and (pretrained_cfg(module) is not None or isinstance(named, str))


def _is_theirs(error: Exception) -> bool:
    """Return whether no code of a user's had a part in an error."""
    frames = traceback.walk_tb(error.__traceback__)
    modules = (frame.f_globals.get('__name__', '') for frame, _ in frames)
    return all(module.partition('.')[0] in _THEIRS for module in modules)


_THEIRS = {'mmdet', 'mmseg', 'mmengine', 'torch', 'numpy', 'scipy', 'plugin'}


def pretrained_cfg(module: nn.Module) -> dict | None:
    """Return the entry of a module's ``init_cfg`` that names a checkpoint."""
    cfgs = getattr(module, 'init_cfg', None) or []
    for cfg in [cfgs] if isinstance(cfgs, dict) else cfgs:
        if isinstance(cfg, dict) and cfg.get('type') in ('Pretrained', PretrainedInit):
            return cfg
    return None


def _found_in(source: str, module: nn.Module) -> set[str]:
    """Parameters whose values are in a file, whoever has read it, and however."""
    try:
        with unwatched():
            weights = weights_of(read_checkpoint(source))
    except (OSError, ValueError):
        return set()
    by_shape: dict[torch.Size, list[Tensor]] = {}
    for tensor in weights.values():
        by_shape.setdefault(tensor.shape, []).append(tensor)
    found = set()
    for name, param in module.named_parameters():
        param = param.detach().cpu()
        # Ones and zeros are in most files, and in most new models.
        if param.numel() and param.min() < param.max():
            found |= {
                name
                for other in by_shape.get(param.shape, ())
                if unusable(other, param) is None
                and torch.equal(param, other.to(param.dtype))
            }
    return found
