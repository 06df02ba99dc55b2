"""Batches of synthetic samples, as the data loader of a config would give them."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from importlib import import_module
from typing import Any

from mmengine.config import Config
from mmengine.registry import FUNCTIONS

from plugin.libraries import wiring
from plugin.measure.optimizer import resolve
from plugin.spec import NoSamples, SampleSpec


def batch(cfg: Config, spec: SampleSpec, loader: str = 'train_dataloader') -> Any:
    """Two samples for the model of ``cfg``, collated as its data loader does it.

    Args:
        cfg: With its ``default_scope``, whose library makes the samples.
        spec: What the samples are.
        loader: Whose ``collate_fn`` is used.

    Raises:
        NoSamples: None are made for this library, or for this model.
    """
    library = wiring(cfg.get('default_scope'))
    samples = library and library.samples(cfg, spec)
    if not samples:
        raise NoSamples(f'default_scope={cfg.get("default_scope")!r} has no samples')
    return _collate(cfg, loader)(samples)


def _collate(cfg: Config, loader: str) -> Callable:
    written = (cfg.get(loader) or {}).get('collate_fn')
    # As mmengine's Runner.build_dataloader does it.
    entry = deepcopy(dict(written or dict(type='pseudo_collate')))
    type_ = entry.pop('type')
    # Functions are registered beside the data sets, which the runner builds before.
    import_module(f'{cfg.default_scope}.datasets')
    function = resolve(FUNCTIONS, type_)
    if function is None:
        raise NoSamples(f'{loader}.collate_fn={type_!r} is not registered')
    return partial(function, **entry)
