"""The config that another backbone is put into."""

from __future__ import annotations

import math
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.config import Config

from plugin.check.checked_config import CheckedConfig
from plugin.config.names import config_path
from plugin.config.packages import searched_once
from plugin.config.reading import read_sound
from plugin.libraries import ALL, Wiring, wiring
from plugin.spec import (
    CHANNELS,
    STRIDES,
    FeatureSpec,
    Slot,
    as_list,
    numbers,
    type_name,
)

LIBRARIES = {one.scope: one for one in ALL if one.takes_other_backbones}
"""Scopes of the libraries that a base may be of, and what mim calls these."""


class Base:
    """A config, as one that inherits from it sees it.

    Args:
        name: A path, or a name in an installed package (``mmdet::...``).

    Attributes:
        name: As given, with its suffix.
        cfg: The config.
        scope: Of its library.
        wiring: What is particular to that.
        slots: Where it repeats what its backbone gives.
        spec: What its own backbone gives.
        used: Which maps of its backbone are read by what follows.

    Raises:
        ValueError: It has no place for another backbone.
        OSError: There is no such file.
        NotAConfig: It is no config.
    """

    def __init__(self, name: str) -> None:
        library, colons, _ = name.partition('::')
        self.name = f'{name}.py' if colons and not name.endswith('.py') else name
        refuse_broken(self.name)
        self.cfg = load_as_base(self.name)
        self.scope = self.cfg.get('default_scope') or 'mmengine'
        if self.scope not in LIBRARIES:
            able = ', '.join(one.mim for one in LIBRARIES.values())
            raise ValueError(
                f'{name} is a config of {self.scope}; the libraries whose configs can '
                f'take another backbone are {able}'
            )
        found = wiring(self.scope)
        if found is None:
            mim = LIBRARIES[self.scope].mim
            raise ValueError(f'{name} needs {mim}: write mim install {mim}')
        self.wiring: Wiring = found
        checked = CheckedConfig(self.cfg)
        self.backbone_cfg: Mapping[str, Any] = checked.backbone_cfg or {}
        self.slots: list[Slot] = checked.slots
        if checked.backbone_key != 'model.backbone':
            place = checked.backbone_key or 'nowhere'
            raise ValueError(
                f'{name} has its backbone in {place}; only model.backbone is known here'
            )
        self._refuse_without_slots()
        if checked.spec is None:
            raise ValueError(
                f'{name}: its own {type_name(self.backbone_cfg)} gives no maps to '
                'compare with, so what its neck and heads want is not known; take '
                'another config of this method'
            )
        self.spec: FeatureSpec = checked.spec
        self.used = tuple(sorted(set(self._used())))

    @property
    def model(self) -> Mapping[str, Any]:
        return self.cfg.model

    @property
    def method(self) -> str:
        """Return what the model is called in messages."""
        name = type_name(self.model)
        heads = [type_name(h) for h in as_list(self.model.get('decode_head'))]
        return f'{name} with {heads[-1]}' if heads else name

    @cached_property
    def dilated(self) -> bool:
        """Return whether its backbone keeps one stride where others halve the map."""
        strides = self.spec.strides
        return len(set(strides)) < len(strides) and not self.plain

    @property
    def plain(self) -> bool:
        """Return whether its backbone gives several maps of one stride, as a ViT."""
        return len(self.spec.strides) > 1 and len(set(self.spec.strides)) == 1

    @property
    def pyramid(self) -> tuple[int, ...]:
        """The strides of its maps, as a backbone without dilation has them."""
        strides = self.spec.strides
        if not self.dilated:
            return strides
        return tuple(strides[0] * 2**i for i in range(len(strides)))

    @property
    def reads_any_stride(self) -> bool:
        """Return whether nothing in it depends on the strides of its maps."""
        return not any(slot.kind == STRIDES for slot in self.slots)

    @property
    def data_preprocessor(self) -> Mapping[str, Any]:
        return self.model.get('data_preprocessor') or {}

    @cached_property
    def image_side(self) -> int | None:
        """The longest side of an image that the model is given, in pixels."""
        test_cfg = self.model.get('test_cfg') or {}
        if test_cfg.get('mode') == 'slide':
            return max(test_cfg['crop_size'])
        sides = [
            max(numbers(node[key]))
            for loader in ('val_dataloader', 'test_dataloader')
            for node in _steps(self.cfg.get(loader))
            for key in ('scale', 'img_scale')
            if isinstance(node.get(key), (list, tuple))
            and all(isinstance(side, int) for side in node[key])
        ]
        return max(sides, default=None)

    @cached_property
    def images(self) -> int | None:
        """Images in a step of all GPUs, if the config says so."""
        found = re.search(r'(\d+)xb(\d+)', Path(self.name).name)
        if found:
            return math.prod(map(int, found.groups()))
        return (self.cfg.get('auto_scale_lr') or {}).get('base_batch_size')

    def reference(self, folder: Path) -> str:
        """Return what a config in ``folder`` writes as its ``_base_``."""
        return reference(self.name, folder)

    def _used(self) -> Iterator[int]:
        count = len(self.spec.strides)
        necks = as_list(self.model.get('neck'))
        if necks:
            first = next((n for n in necks if 'in_channels' in n), {})
            yield from range(first.get('start_level', 0), count)
        else:
            for slot in self.slots:
                yield from (m % count for m in slot.maps or range(count))

    def _refuse_without_slots(self) -> None:
        refusal = self.wiring.refusal(self.model)
        if refusal:
            raise ValueError(f'{self.name} {refusal}')
        if not any(slot.kind == CHANNELS for slot in self.slots):
            necks = as_list(self.model.get('neck'))
            parts = [*necks, *as_list(self.model.get('decode_head'))]
            types = ' and '.join(dict.fromkeys(map(type_name, parts))) or 'its heads'
            raise ValueError(
                f'{self.name}: where {types} has the channels of the backbone is not '
                'known here; write this config by hand'
            )


def _steps(node: Any) -> Iterator[Mapping[str, Any]]:
    """Every dict in a dataloader."""
    if isinstance(node, Mapping):
        yield node
        for child in node.values():
            yield from _steps(child)
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from _steps(child)


def absolute(name: str) -> str:
    """The ``_base_`` that means the same config everywhere."""
    return name if '::' in name else os.path.abspath(name)


def reference(name: str, folder: Path) -> str:
    """The ``_base_`` of a config in ``folder``, relative if that is safe.

    Args:
        name: A path, or a name in an installed package.
        folder: Of the config that inherits.
    """
    if '::' in name:
        return name
    path = absolute(name)
    relative = Path(os.path.relpath(path, os.path.abspath(folder))).as_posix()
    if relative != Path(os.path.relpath(path, os.path.realpath(folder))).as_posix():
        return path  # Through a link, `..` leads to different places.
    return relative if relative.startswith('../') else f'./{relative}'


def load_as_base(name: str) -> Config:
    """The config that a file with nothing but this ``_base_`` is.

    mmengine marks what comes from ``mmdet::...`` with its scope only when it is
    inherited.

    Args:
        name: A path, or a name in an installed package.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'inherits.py'
        path.write_text(f'_base_ = {absolute(name)!r}\n')
        with searched_once():
            return Config.fromfile(str(path))


def refuse_broken(name: str) -> None:
    """Raise if a config can't be inherited from.

    Raises:
        ValueError: ``check`` can't read it to the end, or it is in pure Python style.
        OSError: There is no such file.
        NotAConfig: It is none.
    """
    try:
        read_sound(name)
    except ValueError as error:
        raise ValueError(f'the base is broken itself: {error}') from error
    if Config._is_lazy_import(str(config_path(name))):
        raise ValueError(
            f'{name} is written in the pure Python style, from which a config in the '
            'text style cannot inherit; take the same one in the text style'
        )
