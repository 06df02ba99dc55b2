"""One record a downstream library; every list of libraries elsewhere comes from here.

Whatever else is particular to a library is in its task folder, in the module
``wiring``, behind the interface that ``wiring`` of each folder implements. A library is
added by one record here and one folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType


@dataclass(frozen=True)
class Library:
    """A library that the plugin puts backbones into.

    Attributes:
        scope: Scope of its registries, which is its import name too.
        project: Its name among the projects of OpenMMLab.
        distributions: Names on the package index that install it. The first is what
            ``mim train`` takes.
        task: Its folder in this package.
        former: Scopes of libraries that it has taken over.
        takes_other_backbones: Whether ``swap`` writes configs for it.
    """

    scope: str
    project: str
    distributions: tuple[str, ...]
    task: str
    former: tuple[str, ...] = ()
    takes_other_backbones: bool = True

    @property
    def mim(self) -> str:
        """What ``mim train`` calls it."""
        return self.distributions[0]

    @property
    def package(self) -> str:
        """What a config imports to have our names in this library."""
        return f'plugin.{self.task}'


ALL = (
    Library('mmdet', 'mmdetection', ('mmdet', 'onedl-mmdetection'), 'det'),
    Library(
        'mmseg', 'mmsegmentation', ('mmsegmentation', 'onedl-mmsegmentation'), 'seg'
    ),
    Library('mmyolo', 'mmyolo', ('mmyolo',), 'yolo'),
    Library(
        'mmpretrain',
        'mmpretrain',
        ('mmpretrain', 'onedl-mmpretrain'),
        'cls',
        former=('mmcls', 'mmselfsup'),
        takes_other_backbones=False,
    ),
)

BY_SCOPE = {library.scope: library for library in ALL}
SCOPES = tuple(BY_SCOPE)
CLASSIFICATION = 'mmpretrain'
MAP_SCOPES = tuple(scope for scope in SCOPES if scope != CLASSIFICATION)
SUCCESSORS = {former: library.scope for library in ALL for former in library.former}


def wiring(scope: str) -> ModuleType | None:
    """Return what is particular to the library of ``scope``; None for any other scope.

    The folder is imported when this is called, and the library with it: here alone a
    lower room reaches a task folder.
    """
    return _module(scope, 'wiring')


def samples_of(scope: str | None) -> Callable | None:
    """Return what makes synthetic samples for the models of a library.

    It takes a config and a :class:`~plugin.measure.step.sampling.SampleSpec`.
    """
    module = _module(scope, 'samples')
    return module and module.samples


def _module(scope: str | None, name: str) -> ModuleType | None:
    library = BY_SCOPE.get(scope)
    return library and import_module(f'plugin.{library.task}.{name}')
