"""One record a downstream library, and what else is asked of a library.

Every list of libraries elsewhere comes from ``ALL``. Whatever else is particular to a
library is in its task folder, in the module ``wiring``: one :class:`Wiring`, which is
all that the rest of the code asks. A library is added by one record here and one
folder; nothing else tells libraries apart by their scope.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

from plugin.spec import Change, FeatureSpec, SampleSpec, Slot, numbers

_NONE: Mapping = MappingProxyType({})


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
        counted_from_one: What types of those begin with whose ``out_indices`` count
            their maps from 1, and not from 0 as here.
        takes_other_backbones: Whether ``swap`` writes configs for it.
        extra: Of its distribution, with which it registers the rest of its models.
    """

    scope: str
    project: str
    distributions: tuple[str, ...]
    task: str
    former: tuple[str, ...] = ()
    counted_from_one: tuple[str, ...] = ()
    takes_other_backbones: bool = True
    extra: str | None = None

    @property
    def mim(self) -> str:
        """The name that ``mim train`` has for it."""
        return self.distributions[0]

    @property
    def package(self) -> str:
        """The module that a config imports to have our names in this library."""
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
        counted_from_one=('mmselfsup.ResNe',),
        takes_other_backbones=False,
        extra='multimodal',
    ),
)

BY_SCOPE = {library.scope: library for library in ALL}
SCOPES = tuple(BY_SCOPE)
SUCCESSORS = {former: library.scope for library in ALL for former in library.former}
COUNTED_FROM_ONE = tuple(start for library in ALL for start in library.counted_from_one)


@dataclass(frozen=True)
class LayerDecay:
    """The backbones that a library's own constructor for layer decay knows.

    Attributes:
        rate: The key of ``paramwise_cfg`` that it reads the rate from.
        families: The backbones that it knows: a part of the name of their class, and
            what the names of their parameters begin with. None: it asks the whole
            model for ``get_layer_depth``.
        by_stage: Those of ``families`` that it knows by stage as well.
    """

    rate: str
    families: Mapping[str, tuple[str, ...]] | None = None
    by_stage: tuple[str, ...] = ()


class Wiring(ABC):
    """All that is particular to a library, as the rest of the code asks for it.

    The defaults are those of a library that trains detectors or segmentors and of
    which no more is known than where its configs repeat the backbone's numbers.
    """

    classifies = False
    """If its models are classifiers: they take vectors (N, C) from a backbone as
    well as maps, train with outputs to spare, and are trained on a frozen backbone."""

    own_pretrained = False
    """If ``model.pretrained`` is for the whole model, and not passed on to its
    backbone."""

    preprocessor: str | None = None
    """Type of the data preprocessor of a model whose config writes none; None where
    it is not known."""

    renamed: Mapping[str, str] = _NONE
    """Types of its former versions, and what to write instead."""

    layer_decay: Mapping[str, LayerDecay] = _NONE
    """Its own optimizer-wrapper constructors for layer decay, by class name."""

    named_groups: Mapping[str, tuple[str, ...]] = _NONE
    """Its constructors that take only parameters which are called weight or bias, and
    the classes whose ``implicit`` they take besides."""

    bias_hooks: tuple[str, ...] = ()
    """Its schedules that take the third parameter group for the biases."""

    indexed_prefix: str | None = None
    """Prefix of the backbone in the ImageNet weights that its metafiles list; None if
    they list none."""

    maps_of_pyramid: int | None = None
    """From how many maps of one stride :meth:`pyramid` makes its maps; None: from as
    many as it makes."""

    @abstractmethod
    def slots(self, model: Mapping[str, Any]) -> list[Slot]:
        """Return the places in ``model`` that follow from its backbone.

        Args:
            model: ``model`` of a config, as it is written.
        """

    def widened(
        self, part: Mapping[str, Any], written: int | Sequence[int]
    ) -> tuple[int, ...]:
        """Return what a neck or a head makes of the channels ``written`` for it."""
        return numbers(written)

    def channel_changes(
        self,
        model: Mapping[str, Any],
        slot: Slot,
        expected: Sequence[int],
        keep_factor: bool = False,
    ) -> Iterator[Change]:
        """Yield what to write so that ``slot`` has ``expected``; nothing if no way is.

        Args:
            model: ``model`` of a config.
            slot: One of its slots.
            expected: Channels, one number a map.
            keep_factor: Whether to keep a factor that the part multiplies them by,
                where whole numbers make ``expected``; else they are written plainly.
        """
        right: Any = list(expected)
        yield Change(slot.key, right[0] if isinstance(slot.written, int) else right)

    def takes_as_many(self, neck: Mapping[str, Any]) -> bool:
        """Return whether ``neck`` is built for a number of maps, and its heads too."""
        return False

    def samples(self, cfg: Mapping[str, Any], spec: SampleSpec) -> list[dict] | None:
        """Return two samples as a data set of the library gives them, made up.

        Args:
            cfg: A config.
            spec: What the samples are.

        Returns:
            None if none are made for this library.

        Raises:
            NoSamples: None are made for this kind of model.
        """
        return None

    def refusal(self, model: Mapping[str, Any]) -> str | None:
        """Return why no other backbone can be put into ``model``, after its name.

        Returns:
            None if one can be.
        """
        return None

    def pyramid(
        self, model: Mapping[str, Any], maps: FeatureSpec, strides: Sequence[int]
    ) -> list[Change] | None:
        """Return the neck that makes maps of several strides from maps of one.

        Args:
            model: ``model`` of a config.
            maps: What a backbone gives, all of one stride.
            strides: Of the maps that the model's neck and heads take.

        Returns:
            None if there is no such neck for this model.
        """
        return None


def wiring(scope: str) -> Wiring | None:
    """Return what is particular to the library of ``scope``.

    The folder is imported when this is called, and the library with it: this is the
    one place where a lower room reaches a task folder.

    Returns:
        None for a scope that is no library's, or where the library is not installed.
    """
    library = BY_SCOPE.get(scope)
    if library is None or find_spec(scope) is None:
        return None
    return import_module(f'plugin.{library.task}.wiring').WIRING
