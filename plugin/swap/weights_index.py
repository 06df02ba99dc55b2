"""mmpretrain's own list of its weights, which it installs with itself.

Each entry of a metafile names a file of weights and the config of its model. Which
entry is of a given backbone follows from that config.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config

from plugin.config.names import shipped
from plugin.swap.replacement import Replacement

_MODEL_FILE = re.compile(r'_base_/(models/[\w./-]+\.py)')


@dataclass(frozen=True)
class _Entry:
    collection: str
    config: Path
    weights: str


def indexed(new: Replacement) -> str | None:
    """The address of a backbone's ImageNet weights; None if none is listed.

    Of several that fit, the first one of the collection that is called like the class.

    Args:
        new: A backbone of mmpretrain.
    """
    if new.from_config and '::' in new.name:
        own = _of_config(new.name)
        if own is not None:
            return own
    name = new.cls.__name__
    entries = sorted(
        _with_class(name), key=lambda e: _plain(e.collection) != _plain(name)
    )
    for entry in entries:
        backbone = _backbone_of(entry.config)
        if backbone.get('type') == name and _same(new, backbone):
            return entry.weights
    return None


def _of_config(name: str) -> str | None:
    inside = name.partition('::')[2]
    root = shipped('mmpretrain')
    if root is None or not name.startswith('mmpretrain::'):
        return None
    inside = inside if inside.endswith('.py') else f'{inside}.py'
    found = (e.weights for e in _entries() if e.config == root / inside)
    return next(found, None)


@cache
def _entries() -> tuple[_Entry, ...]:
    root = shipped('mmpretrain')
    if root is None:
        return ()
    found = []
    for path in sorted(root.glob('*/metafile.yml')):
        for model in yaml.safe_load(path.read_text('utf-8')).get('Models') or []:
            config, weights = model.get('Config'), model.get('Weights')
            data = [r.get('Dataset') for r in model.get('Results') or []]
            if config and weights and 'ImageNet-1k' in data:
                config = root / config.removeprefix('configs/')
                found.append(_Entry(model['In Collection'], config, weights))
    return tuple(entry for entry in found if entry.config.is_file())


def _with_class(name: str) -> Iterator[_Entry]:
    """Entries whose config, or whose model in ``_base_``, names a class."""
    named = re.compile(rf"type=['\"]{re.escape(name)}['\"]")
    root = shipped('mmpretrain')
    for entry in _entries():
        text = entry.config.read_text('utf-8')
        models = [root / '_base_' / file for file in _MODEL_FILE.findall(text)]
        texts = [text, *(m.read_text('utf-8') for m in models if m.is_file())]
        if any(named.search(one) for one in texts):
            yield entry


@cache
def _backbone_of(config: Path) -> dict[str, Any]:
    try:
        cfg = Config.fromfile(str(config), import_custom_modules=False)
        return dict(cfg.model.backbone)
    except Exception:
        return {}  # Some of the shipped configs want packages that are not here.


def _same(new: Replacement, backbone: dict[str, Any]) -> bool:
    """Whether both have weights of the same shapes under the same names."""
    for argument in ('arch', 'depth'):
        if backbone.get(argument) != new.arguments.get(argument):
            return False
    no_matter = ('type', 'out_indices', 'init_cfg', *_SHAPELESS)
    theirs = {k: v for k, v in backbone.items() if k not in no_matter}
    ours = {k: v for k, v in new.arguments.items() if k not in no_matter}
    return all(
        theirs.get(k, new.default(k)) == ours.get(k, new.default(k))
        for k in {*theirs, *ours}
    )


# Arguments on which no weight depends.
_SHAPELESS = (
    *('frozen_stages', 'norm_eval', 'drop_path_rate', 'drop_rate', 'with_cp'),
    *('gap_before_final_norm', 'out_type', 'num_stages', 'style', 'norm_cfg'),
    *('strides', 'dilations', 'img_size'),
)


def _plain(name: str) -> str:
    return re.sub(r'[^a-z0-9]', '', name.lower())
