"""Leaves mmpretrain's multimodal models out where they cannot be imported.

mmpretrain imports them as soon as transformers 4.28 or newer is installed. They take
names from it that have moved since, so that ``import mmpretrain.models`` raises, and
with it ``import mmdet.models``, ``mmseg.models`` and ``mmyolo.models``, which import
mmpretrain wherever it is installed. A model of mmdet that needs transformers itself
(GroundingDINO, GLIP) could then not be used at all.

Nothing is done where the two work together, nor with ``MM_BACKBONE_PATCHES=0``.

This file is in two distributions, the same in both. In mmcv-lite-ops it runs before
the models of any library are imported, which ``mim train mmyolo`` does before it reads
a config. Beside a full mmcv only the plugin has it.
"""

from __future__ import annotations

import os
import re
import sys
from importlib import import_module, metadata
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

_MODULE = 'mmpretrain.utils.dependency'
_FLAG = 'WITH_MULTIMODAL'
_BEFORE = f'{_FLAG}_before_the_guard'

WORKS_BELOW = {
    # mmpretrain 1.2.0 takes GenerationMixin from transformers.modeling_utils.
    (1, 2): (4, 52),
    # onedl-mmpretrain 1.3.6 takes find_pruneable_heads_and_indices.
    (1, 3): (5, 0),
}
"""The first transformers without a name that is needed, by version of mmpretrain."""


def apply() -> None:
    """Keep the multimodal models out from now on. Doing it again is harmless.

    Without effect on what has been imported already.
    """
    if os.environ.get('MM_BACKBONE_PATCHES') == '0':
        return
    if _MODULE in sys.modules:
        _leave_out(sys.modules[_MODULE])
    elif not any(map(_is_ours, sys.meta_path)):
        # mmpretrain takes seconds to import, and may never be.
        sys.meta_path.insert(0, _Finder())


def remove() -> None:
    """Let mmpretrain decide again, also if the other distribution has applied it.

    Modules of mmpretrain that have been imported stay as they are.
    """
    sys.meta_path[:] = [f for f in sys.meta_path if not _is_ours(f)]
    module = sys.modules.get(_MODULE)
    if hasattr(module, _BEFORE):
        setattr(module, _FLAG, vars(module).pop(_BEFORE))


def is_too_new(transformers: str, mmpretrain: str) -> bool:
    """Return whether mmpretrain's multimodal models fail with this transformers.

    Args:
        transformers: Its version.
        mmpretrain: Its version.
    """
    limit = WORKS_BELOW.get(_numbers(mmpretrain))
    return limit is not None and _numbers(transformers) >= limit


def _leave_out(module: ModuleType) -> None:
    if not getattr(module, _FLAG, False):
        return
    try:
        transformers = metadata.version('transformers')
    except metadata.PackageNotFoundError:
        return
    if is_too_new(transformers, import_module('mmpretrain.version').__version__):
        setattr(module, _BEFORE, True)
        setattr(module, _FLAG, False)


def _numbers(version: str) -> tuple[int, ...]:
    """Return major and minor version."""
    return tuple(map(int, re.findall(r'\d+', version)[:2]))


class _Finder(MetaPathFinder):
    """Finds one module, where Python does, and looks at it once it has been run."""

    def find_spec(
        self, fullname: str, path: object = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != _MODULE:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        _leave_out(module)


def _is_ours(finder: object) -> bool:
    # By name: that of the other distribution is another class.
    return f'{type(finder).__module__}'.endswith('.transformers_guard')
