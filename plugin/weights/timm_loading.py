"""timm's pretrained weights in a model of OpenMMLab's: audited, and loaded safely.

timm loads while it builds a model. That is audited inside the constructor of a module
of mmengine, such as ``TIMMBackbone`` of mmpretrain, of mmseg and ours. A timm model
that is built anywhere else loads as timm does it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mmengine.model import BaseModule
from torch import nn

from plugin.weights.audit.loading import Loading, changed, observed, written
from plugin.weights.audit.report import record
from plugin.weights.patching import install_late

watch_timm = install_late
"""Calls this after timm has been imported, and before it loads."""

_only_read: ContextVar[bool] = ContextVar('only_read', default=False)


@contextmanager
def only_read() -> Iterator[None]:
    """timm builds a model for its weights alone, which are audited where they go."""
    token = _only_read.set(True)
    try:
        yield
    finally:
        _only_read.reset(token)


def load_pretrained(original: Callable) -> Callable:
    """timm's ``load_pretrained``, audited where it fills a module of mmengine."""

    def load_pretrained(model: nn.Module, pretrained_cfg=None, *args, **kwargs):
        if _only_read.get():
            return original(model, pretrained_cfg, *args, **kwargs)
        if not _in_a_constructor():
            return original(model, pretrained_cfg, *args, **kwargs)
        loading = _loading_of(model, pretrained_cfg)
        before = written(model)
        with observed(model) as loads:
            result = original(model, pretrained_cfg, *args, **kwargs)
        loading.note_loaded(changed(before, model))
        loading.unexpected = loads.unexpected
        loading.unusable = loads.unusable
        record(loading)
        return result

    return load_pretrained


def _loading_of(model: nn.Module, pretrained_cfg: object) -> Loading:
    cfg = pretrained_cfg or getattr(model, 'pretrained_cfg', None) or {}
    name = '.'.join(filter(None, (cfg.get('architecture'), cfg.get('tag'))))
    file = cfg.get('file')
    # plugin.TIMMBackbone marks its own files like this, and answers for them.
    own = bool(file) and cfg.get('source') == ''
    loading = Loading(model, file or f'timm {name}', required=not own)
    # timm leaves it out where the number of classes differs, and removes it later.
    classifier = cfg.get('classifier') or ()
    classifier = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    loading.ignored = tuple(f'{name}.' for name in classifier)
    return loading


def _in_a_constructor() -> bool:
    """Return whether a module of mmengine is being built further up the stack."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_name == '__init__':
            if isinstance(frame.f_locals.get('self'), BaseModule):
                return True
        frame = frame.f_back
    return False
