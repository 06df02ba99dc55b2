"""Pretrained weights in the entry of a backbone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from mmengine.config import Config

from plugin.config.packages import searched_once
from plugin.libraries import wiring
from plugin.measure.shipped import Listed, listed, shipped
from plugin.swap.known_weights import TABLE, Known
from plugin.swap.replacement import Replacement, plain

# What a user gives who has weights already, or wants none.
_SAYS = {'init_cfg', 'pretrained', 'checkpoint_path'}
# Arguments on which no weight of a backbone depends.
_SHAPELESS = {
    *('type', 'out_indices', 'init_cfg', 'pretrained', 'frozen_stages', 'norm_eval'),
    *('drop_path_rate', 'drop_rate', 'attn_drop_rate', 'layer_scale_init_value'),
    *('gap_before_final_norm', 'out_type', 'with_cp', 'norm_cfg', 'act_cfg'),
    *('strides', 'dilations', 'contract_dilation', 'num_stages', 'img_size'),
}
_MODEL_FILE = re.compile(r'_base_/(models/[\w./-]+\.py)')


@dataclass(frozen=True)
class Weights:
    """Source of the first values of a backbone.

    Attributes:
        source: In words; None for random ones.
        arguments: Of the backbone.
        checkpoint: A file's address, to be named in ``init_cfg``.
        prefix: Of the backbone's weights in that file.
        reasons: What to say above an argument.
        advice: What to say of random weights.
    """

    source: str | None
    arguments: dict[str, Any] = field(default_factory=dict)
    checkpoint: str | None = None
    prefix: str | None = None
    reasons: dict[str, str] = field(default_factory=dict)
    advice: str = ''


def weights_of(new: Replacement) -> Weights:
    """The weights for ``new``: those that were asked for, else the known ones."""
    arguments = new.arguments
    if new.given & _SAYS or (new.from_config and arguments.get('init_cfg')):
        source = _named(arguments)
        return Weights(source, advice='' if source or new.is_timm else _ADVICE)
    if new.is_timm:
        return _of_timm(arguments['model_name'])
    known = known_weights(new)
    if known is None:
        return Weights(None, advice=_ADVICE)
    return _of_file(known)


_ADVICE = (
    'Random weights. For pretrained ones: '
    "init_cfg=dict(type='Pretrained', checkpoint=..., prefix='backbone.')."
)


def _named(arguments: Mapping[str, Any]) -> str | None:
    """Return what the arguments themselves load."""
    inits = arguments.get('init_cfg') or []
    for init in [inits] if isinstance(inits, Mapping) else inits:
        if init.get('checkpoint'):
            return init['checkpoint']
    if arguments.get('checkpoint_path'):
        return arguments['checkpoint_path']
    if arguments.get('pretrained'):
        pretrained = arguments['pretrained']
        return pretrained if isinstance(pretrained, str) else "timm's"
    return None


def _of_timm(model_name: str) -> Weights:
    from timm.models import get_pretrained_cfg

    try:
        found = get_pretrained_cfg(model_name)
    except RuntimeError:
        found = None
    if found is None or not found.has_weights:
        return Weights(
            None,
            dict(pretrained=False),
            reasons=dict(pretrained=f'timm has no weights for {model_name}.'),
        )
    arch, _, tag = model_name.partition('.')
    reasons = {}
    if not tag and found.tag:
        model_name = f'{arch}.{found.tag}'
        reasons['model_name'] = 'With its tag: what a bare name loads may change.'
    return Weights(
        f'{model_name} of timm',
        dict(model_name=model_name, pretrained=True),
        reasons=reasons,
    )


def _of_file(known: Known) -> Weights:
    return Weights(
        known.checkpoint,
        dict(known.arguments),
        known.checkpoint,
        known.prefix,
        dict(known.reasons),
    )


def known_weights(new: Replacement) -> Known | None:
    """The checkpoint for a backbone; None if none is known for just this variant."""
    for types, variant, known in TABLE:
        if new.type in types and _same_weights(new, variant):
            return known
    scope = new.type.partition('.')[0]
    library = wiring(scope)
    if library is None or library.indexed_prefix is None:
        return None
    url = _indexed(new, scope)
    return Known(url, library.indexed_prefix) if url else None


def _same_weights(new: Replacement, arguments: Mapping[str, Any]) -> bool:
    """Return whether ``arguments`` leave the names and shapes of weights alone."""

    def value(given: Mapping[str, Any], name: str) -> Any:
        return plain(given.get(name, new.default(name)))

    names = {*arguments, *new.arguments} - _SHAPELESS
    return all(value(arguments, n) == value(new.arguments, n) for n in names)


def _indexed(new: Replacement, library: str) -> str | None:
    """The address of a backbone's ImageNet weights; None if its library lists none.

    Of several that fit, the first one of the collection that is called like the class.
    """
    entries = _of_imagenet(library)
    if new.from_config and new.name.startswith(f'{library}::'):
        path = shipped(library) / new.name.partition('::')[2]
        for entry in entries:
            if entry.config.with_suffix('') == path.with_suffix(''):
                return entry.weights
    name = new.cls.__name__
    for entry in sorted(
        _with_class(name, entries), key=lambda e: _plain(e.collection) != _plain(name)
    ):
        backbone = _backbone_of(entry.config)
        if backbone.get('type') == name and _same_weights(new, backbone):
            return entry.weights
    return None


@cache
def _of_imagenet(library: str) -> tuple[Listed, ...]:
    return tuple(
        entry
        for entry in listed(library)
        if entry.weights and 'ImageNet-1k' in entry.data and entry.config.is_file()
    )


def _with_class(name: str, entries: tuple[Listed, ...]) -> Iterator[Listed]:
    """Entries whose config, or whose model in ``_base_``, names a class."""
    named = re.compile(rf"type=['\"]{re.escape(name)}['\"]")
    for entry in entries:
        text = entry.config.read_text('utf-8')
        root = entry.config.parents[1] / '_base_'
        models = [root / file for file in _MODEL_FILE.findall(text)]
        texts = [text, *(m.read_text('utf-8') for m in models if m.is_file())]
        if any(named.search(one) for one in texts):
            yield entry


@cache
def _backbone_of(config: Path) -> dict[str, Any]:
    try:
        with searched_once():
            cfg = Config.fromfile(str(config), import_custom_modules=False)
        return dict(cfg.model.backbone)
    except Exception:
        return {}  # Some of the shipped configs want packages that are not here.


def _plain(name: str) -> str:
    return re.sub(r'[^a-z0-9]', '', name.lower())
