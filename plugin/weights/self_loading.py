"""Backbones that load their weights by themselves, and what they get.

mmdet 3.3.0: Swin, PVT, DetectoRS. mmseg 1.2.2: Swin, ViT, MAE, BEiT, PIDNet. Each
reads a checkpoint by mmengine's ``CheckpointLoader`` in its own ``init_weights``,
brings it into shape, and loads it into itself. Both ends are watched: where another
name or shape would cover more of the backbone, it gets that instead.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager

from mmengine.model.weight_init import PretrainedInit
from torch import Tensor, nn

from plugin.weights.audit.loading import Loading, fill
from plugin.weights.audit.report import record
from plugin.weights.files.contents import under, weights_of
from plugin.weights.files.refusal import check_holds_weights
from plugin.weights.matching.fit import Fit, fit


class Watch:
    """One module while its ``init_weights`` runs.

    Attributes:
        module: The module.
        audited: Whether its weights are accounted for elsewhere.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.audited = False
        self._was_init = getattr(module, 'is_init', False)
        self._source: str | None = None
        self._weights: dict[str, Tensor] | None = None
        self._before: dict[str, int] = {}
        self._fit: Fit | None = None
        self._loading: Loading | None = None
        self._is_target = False

    def note_checkpoint(self, source: str, checkpoint: dict) -> None:
        """The module has read a checkpoint."""
        self._source = source
        self._weights = weights_of(checkpoint)
        self._before = _versions(self.module)

    def before_loading(
        self, module: nn.Module, state_dict: dict, prefix: str, *_: object
    ) -> None:
        """Put what the module is about to load into its names and shapes."""
        self._is_target = not prefix and not self.audited
        if not self._is_target:
            return
        tensors = {n: t for n, t in state_dict.items() if isinstance(t, Tensor)}
        found = given = fit(tensors, module)
        if found.loaded < found.total and self._weights is not None:
            found = max(given, self._fit_whole(), key=lambda f: f.loaded)
        changed = found.adapted or found.mismatched or found.dropped
        if found.origin or changed or found is not given:
            state_dict.clear()
            state_dict.update(found.tensors)
        self._fit = found

    def after_loading(self, module: nn.Module, incompatible: tuple) -> None:
        """Note what has been filled."""
        if self._is_target and self._fit is not None:
            self._loading = self._new_loading()
            missing = set(incompatible.missing_keys)
            self._loading.note_loaded(set(module.state_dict()) - missing)

    def mend(self) -> bool:
        """Load in the place of the module's own code, which has raised.

        mmdet's Swin stumbles over a file without ``backbone.`` names, mmseg's BEiT
        over tables of another size.

        Returns:
            False if the error is not to be mended.
        """
        if self._weights is None or self._fit is not None or self.audited:
            return False
        self._fit = self._fit_whole()
        loading = self._new_loading()
        if not (self._fit.loaded or loading.required):
            return False
        self.audited = True
        if self._fit.loaded:
            fill(loading, self._fit)
        record(loading)
        return True

    def conclude(self) -> None:
        """Record what the module has loaded by itself, or that it has not."""
        if self.audited:
            return
        wanted = pretrained_cfg(self.module) is not None and not self._was_init
        if self._source is None and not wanted:
            return
        if self._loading is None:
            # It may have loaded piece by piece. Without a checkpoint it has not.
            self._loading = self._new_loading()
            now = _versions(self.module)
            self._loading.note_loaded(
                {name for name, v in self._before.items() if now.get(name) != v}
            )
        record(self._loading)

    def _fit_whole(self) -> Fit:
        """All of the checkpoint; such code takes either prefix."""
        given = (pretrained_cfg(self.module) or {}).get('prefix')
        prefixes = dict.fromkeys((given or '', '', 'backbone.'))
        fits = [fit(under(self._weights, prefix), self.module) for prefix in prefixes]
        return max(fits, key=lambda f: f.loaded)

    def _new_loading(self) -> Loading:
        cfg = pretrained_cfg(self.module) or {}
        # DetectoRS has taken the name out of its init_cfg.
        named = cfg.get('checkpoint') or getattr(self.module, 'pretrained', None)
        loading = Loading(
            self.module,
            self._source or str(named),
            cfg.get('prefix'),
            cfg.get('min_loaded'),
            self._weights,
            required=isinstance(named, str),
        )
        if self._fit is not None:
            loading.mismatched = self._fit.mismatched
            loading.unexpected = len(self._fit.unexpected)
            loading.origin = self._fit.origin
            loading.adapted = len(self._fit.adapted)
        return loading


# Of this process, the innermost last.
_watches: list[Watch] = []


@contextmanager
def watching(module: nn.Module) -> Iterator[Watch]:
    """Watch ``module`` while its init_weights runs."""
    watch = Watch(module)
    handles = (
        module.register_load_state_dict_pre_hook(
            functools.partial(Watch.before_loading, watch)
        ),
        module.register_load_state_dict_post_hook(
            functools.partial(Watch.after_loading, watch)
        ),
    )
    _watches.append(watch)
    try:
        yield watch
    finally:
        _watches.remove(watch)
        for handle in handles:
            handle.remove()


def is_watched(module: nn.Module) -> bool:
    """Whether the init_weights of ``module`` is already running."""
    return any(watch.module is module for watch in _watches)


def note_checkpoint(source: str, checkpoint: object) -> None:
    """Whoever is initialized innermost has read a checkpoint."""
    if _watches:
        check_holds_weights(checkpoint, source)
        _watches[-1].note_checkpoint(source, checkpoint)


@contextmanager
def accounted_for(module: nn.Module) -> Iterator[None]:
    """Loading of ``module`` that needs no watch, because the caller records it."""
    for watch in _watches:
        if watch.module is module:
            watch.audited = True
    reader = Watch(module)
    _watches.append(reader)
    try:
        yield
    finally:
        _watches.remove(reader)


def pretrained_cfg(module: nn.Module) -> dict | None:
    """The entry of a module's ``init_cfg`` that names a checkpoint."""
    cfgs = getattr(module, 'init_cfg', None) or []
    for cfg in [cfgs] if isinstance(cfgs, dict) else cfgs:
        if isinstance(cfg, dict) and cfg.get('type') in ('Pretrained', PretrainedInit):
            return cfg
    return None


def _versions(module: nn.Module) -> dict[str, int]:
    tensors = module.state_dict(keep_vars=True).items()
    return {name: t._version for name, t in tensors if isinstance(t, Tensor)}
