"""timm loads while it builds a model: audited, and by the safe loader.

All users of timm in this process get this: TIMMBackbone of mmpretrain, of mmseg and
ours.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from plugin.weights.audit.loading import Loading
from plugin.weights.audit.report import record
from plugin.weights.files.timm_reading import allow_timm_files

_only_read = False


@contextmanager
def only_read() -> Iterator[None]:
    """timm builds a model for its weights alone, which are audited where they go."""
    global _only_read
    _only_read = True
    try:
        yield
    finally:
        _only_read = False


def watch_timm() -> None:
    """Audit timm's pretrained weights from now on, if timm has been imported."""
    allow_timm_files()
    builder = sys.modules.get('timm.models._builder')
    if builder is None or hasattr(builder.load_pretrained, '_watched'):
        return
    builder.load_pretrained = _watched(builder.load_pretrained)


def _watched(original):
    @functools.wraps(original)
    def load_pretrained(model, pretrained_cfg=None, *args, **kwargs):
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
        before = _versions(model)
        handle = model.register_load_state_dict_post_hook(
            functools.partial(_count, loading)
        )
        try:
            result = original(model, pretrained_cfg, *args, **kwargs)
        finally:
            handle.remove()
        now = _versions(model)
        loading.note_loaded({n for n in now if now[n] != before.get(n)})
        if not _only_read:
            record(loading)
        return result

    load_pretrained._watched = True
    return load_pretrained


def _count(loading: Loading, model: nn.Module, incompatible: tuple) -> None:
    loading.unexpected = len(incompatible.unexpected_keys)


def _versions(model: nn.Module) -> dict[str, int]:
    tensors = model.state_dict(keep_vars=True).items()
    return {n: t._version for n, t in tensors if isinstance(t, torch.Tensor)}
