"""Pretrained weights: where they come from, their names, and whether they arrived.

:func:`watch_initialization` switches the audit on; every task package does.
"""

from __future__ import annotations

import functools
from types import FunctionType

from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmengine.model.weight_init import PretrainedInit, update_init_info
from mmengine.runner import CheckpointLoader
from torch import nn

from plugin.weights.audit.loading import Loading, fill
from plugin.weights.audit.report import (
    MIN_LOADED,
    PretrainedError,
    check_min_loaded,
    record,
    session,
)
from plugin.weights.files.contents import metadata_of, under, weights_of
from plugin.weights.files.sources import register_sources
from plugin.weights.matching.fit import fit
from plugin.weights.self_loading import (
    accounted_for,
    is_watched,
    note_checkpoint,
    watching,
)
from plugin.weights.timm_loading import watch_timm

__all__ = ['MIN_LOADED', 'PretrainedError', 'watch_initialization']


def watch_initialization() -> None:
    """Audit pretrained weights from now on. Doing it again is harmless.

    After a model's ``init_weights`` there is one line for each module that asked for
    pretrained weights: the share of its parameters that they fill, and the numbers of
    missing, unexpected and mismatched tensors. Less than ``min_loaded`` of its
    ``init_cfg`` (0.5 by default) raises :class:`PretrainedError`.
    """
    register_sources()
    watch_timm()
    if hasattr(BaseModule.init_weights, '_watched'):
        return
    BaseModule.init_weights = _watched(BaseModule.init_weights)
    BaseModule.__init__ = _watching_the_class(BaseModule.__init__)
    PretrainedInit.__init__ = _with_min_loaded(PretrainedInit.__init__)
    PretrainedInit.__call__ = _load_pretrained
    load_checkpoint = CheckpointLoader.load_checkpoint.__func__
    CheckpointLoader.load_checkpoint = classmethod(_noted(load_checkpoint))


def _watching_the_class(original):
    @functools.wraps(original)
    def __init__(self, *args, **kwargs):
        original(self, *args, **kwargs)
        watch_timm()  # It is imported late, by those who use it.
        # Its class may override init_weights, and load by itself or not at all.
        for cls in type(self).__mro__:
            method = vars(cls).get('init_weights')
            if method is not None:
                if isinstance(method, FunctionType) and not hasattr(method, '_watched'):
                    cls.init_weights = _watched(method)
                return

    return __init__


def _watched(original):
    @functools.wraps(original)
    def init_weights(self, *args, **kwargs):
        if is_watched(self):
            return original(self, *args, **kwargs)
        with session(self), watching(self) as watch:
            try:
                result = original(self, *args, **kwargs)
            except Exception:
                if not watch.mend():
                    raise
                result = None
            watch.conclude()
            return result

    init_weights._watched = True
    return init_weights


def _noted(original):
    @functools.wraps(original)
    def load_checkpoint(cls, filename, map_location=None, logger='current'):
        checkpoint = original(cls, filename, map_location, logger)
        note_checkpoint(str(filename), checkpoint)
        return checkpoint

    return load_checkpoint


def _with_min_loaded(original):
    @functools.wraps(original)
    def __init__(
        self,
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


def _load_pretrained(self: PretrainedInit, module: nn.Module) -> None:
    """What ``init_cfg=dict(type='Pretrained', ...)`` does.

    The checkpoint may be in other names than the module's. ``prefix`` is taken at its
    word.
    """
    what = f'{self.prefix} in model' if self.prefix else 'model'
    print_log(f'load {what} from: {self.checkpoint}', logger='current')
    with accounted_for(module):
        checkpoint = CheckpointLoader.load_checkpoint(
            self.checkpoint, self.map_location, logger='current'
        )
        weights = weights_of(checkpoint)
        loading = Loading(
            module, str(self.checkpoint), self.prefix, self.min_loaded, weights
        )
        metadata = metadata_of(checkpoint)
        fill(
            loading,
            fit(under(weights, self.prefix), module),
            metadata and under(metadata, self.prefix),
        )
    record(loading)
    if hasattr(module, '_params_init_info'):
        update_init_info(module, init_info=self._get_init_info())
