"""Batches of synthetic samples, as the data loader of a config would give them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

from mmengine.config import Config
from mmengine.registry import FUNCTIONS

from plugin.libraries import samples_of
from plugin.measure.signatures import resolve


class NoSamples(Exception):
    """No samples are made for this kind of model; the message says what it takes."""


@dataclass(frozen=True)
class SampleSpec:
    """What two synthetic samples look like.

    Attributes:
        size: Height and width in pixels.
        classes: Classes of the objects, or of the pixels.
        channels: Channels of the images.
        seed: Of everything that is drawn.
        training: Whether they are for the loss, and not for a prediction.
    """

    size: tuple[int, int]
    classes: int
    channels: int = 3
    seed: int = 0
    training: bool = True


def batch(cfg: Config, spec: SampleSpec, loader: str = 'train_dataloader') -> Any:
    """Two samples for the model of ``cfg``, collated as its data loader does it.

    Args:
        cfg: With its ``default_scope``, whose library makes the samples.
        spec: What the samples are.
        loader: Whose ``collate_fn`` is used.

    Raises:
        NoSamples: None are made for this library, or for this model.
    """
    scope = cfg.get('default_scope')
    make = samples_of(scope)
    if make is None:
        raise NoSamples(f'default_scope={scope!r} has no samples')
    return _collate(cfg, loader)(make(cfg, spec))


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


def dicts(node: Any) -> Iterator[Mapping[str, Any]]:
    """Every dict in a config, the outer ones first."""
    if isinstance(node, Mapping):
        yield node
        for child in node.values():
            yield from dicts(child)
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from dicts(child)
