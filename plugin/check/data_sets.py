"""The data sets of a config and their classes, without reading any data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from plugin.config.parts import find


@dataclass(frozen=True)
class DataSet:
    """One data set, without the wrappers around it.

    Attributes:
        key: Where it is, such as ``train_dataloader.dataset.dataset``.
        cfg: Its entry there.
        metainfo: Facts that its class has, such as ``classes``.
    """

    key: str
    cfg: Mapping[str, Any]
    metainfo: Mapping[str, Any]

    @property
    def written(self) -> tuple[str, Any] | None:
        """The key at which the config has the classes, and its value."""
        metainfo = self.cfg.get('metainfo')
        if isinstance(metainfo, Mapping):
            for name in ('classes', 'CLASSES'):
                if metainfo.get(name) is not None:
                    return f'{self.key}.metainfo.{name}', metainfo[name]
        # The data sets of mmpretrain take them as an argument.
        if self.cfg.get('classes') is not None:
            return f'{self.key}.classes', self.cfg['classes']
        return None

    @property
    def classes(self) -> tuple[str, ...] | None:
        """Names of the classes; None where only the data has them."""
        if self.written is None:
            # Whether the first one counts then is up to the user's masks.
            known = not self.cfg.get('reduce_zero_label')
            classes = self.metainfo.get('classes') if known else None
        else:
            classes = self.written[1]
            if isinstance(classes, str):
                return names_in_file(classes) or split_names(classes)
        if isinstance(classes, (list, tuple)):
            return tuple(classes)
        return None


def data_sets(cfg: Config, loader: str) -> list[DataSet]:
    """Return the data sets of ``loader``, such as ``'train_dataloader'``, in order."""
    entry = cfg.get(loader)
    if not isinstance(entry, Mapping):
        return []
    scope = cfg.get('default_scope') or 'mmengine'
    return list(_inside(entry.get('dataset'), f'{loader}.dataset', scope))


def names_in_file(path: str) -> tuple[str, ...] | None:
    """Return the lines of a file, which mmengine takes for classes; None without it."""
    if not Path(path).is_file():
        return None
    return tuple(Path(path).read_text('utf-8').splitlines())


def split_names(text: str) -> tuple[str, ...]:
    """Return the names in a string that should have been a tuple of them."""
    return tuple(name.strip() for name in text.split(',') if name.strip())


def _inside(node: Any, key: str, scope: str) -> Iterator[DataSet]:
    if not isinstance(node, Mapping):
        return
    if isinstance(node.get('dataset'), Mapping):
        yield from _inside(node['dataset'], f'{key}.dataset', scope)
    elif isinstance(node.get('datasets'), (list, tuple)):
        for index, child in enumerate(node['datasets']):
            yield from _inside(child, f'{key}.datasets[{index}]', scope)
    elif 'type' in node:
        cls = node['type']
        if isinstance(cls, str):
            cls = find(cls, 'DATASETS', node.get('_scope_') or scope)
        yield DataSet(key, node, getattr(cls, 'METAINFO', None) or {})
