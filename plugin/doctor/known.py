"""The distributions that are looked at, and the versions of them that work.

The one place where doctor has a version of anything. pyproject.toml states the same
ranges to pip, and a test compares the two. Bounds that a library states itself are
read from its sources instead, as they are installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from plugin.weights.transformers_guard import WORKS_BELOW

OK, WARNING, ERROR = STATUSES = ('ok', 'warning', 'error')

LOWEST_PYTHON = (3, 10)

OPENMMLAB, ONEDL = FAMILIES = ('openmmlab', 'onedl')
"""Who publishes a package: both under the same import name, in the same folder."""

OPERATORS = 'mmcv-lite-ops'


@dataclass(frozen=True)
class Known:
    """A distribution.

    Attributes:
        versions: Those that work, as pip takes them after the name; '' for any.
        outside: Status of a version outside; None if another rule judges it.
        missing: Status where it is not installed; None if nothing is said then.
        why: What needs it, after "for".
        needed_by: Import name of the package without which it is not looked at.
        module: Import name of the folder that it shares with other distributions.
    """

    versions: str
    outside: str | None
    missing: str | None
    why: str
    needed_by: str | None = None
    module: str | None = None


_RUNS = 'everything here'
_TRAIN = 'mim train'
_CLIP = 'import mmseg.models'

KNOWN: Mapping[str, Known] = {
    # The first whose weights_only loader takes an allow-list of (object, name) pairs.
    'torch': Known('>=2.6', ERROR, ERROR, 'loading checkpoints of mmengine safely'),
    'torchvision': Known('>=0.21', ERROR, ERROR, 'the operators of mmcv-lite-ops'),
    'numpy': Known('>=1.24.4', ERROR, ERROR, _RUNS),
    # The first whose RegNet can be built on the meta device.
    'timm': Known('>=1.0.30', WARNING, WARNING, 'plugin.TIMMBackbone'),
    'safetensors': Known('>=0.4.3', WARNING, WARNING, 'checkpoints of timm'),
    'mmengine': Known('>=0.10.6,<0.11', ERROR, ERROR, _RUNS, module='mmengine'),
    'onedl-mmengine': Known('>=0.10.12,<0.11', ERROR, ERROR, _RUNS, module='mmengine'),
    # mmyolo refuses 2.1. Which mmcv there is, and what refuses it, are rules.
    'mmcv-lite': Known('>=2.0.1,<2.1', None, None, _RUNS, module='mmcv'),
    'onedl-mmcv': Known('>=2.3.6,<2.4', WARNING, None, _RUNS, module='mmcv'),
    'mmdet': Known(
        '>=3.3,<3.4', WARNING, None, 'plugin.det, plugin.yolo', module='mmdet'
    ),
    'onedl-mmdetection': Known(
        '>=3.5.1,<3.6', WARNING, None, 'plugin.det', module='mmdet'
    ),
    # 1.2.0 lacks a file that its models read.
    'mmsegmentation': Known(
        '>=1.2.1,<1.3', WARNING, None, 'plugin.seg', module='mmseg'
    ),
    'onedl-mmsegmentation': Known(
        '>=1.4.2,<1.5', WARNING, None, 'plugin.seg', module='mmseg'
    ),
    'mmyolo': Known('>=0.6,<0.7', WARNING, None, 'plugin.yolo', module='mmyolo'),
    'mmpretrain': Known('>=1.2,<1.3', WARNING, None, 'plugin.cls', module='mmpretrain'),
    'onedl-mmpretrain': Known(
        '>=1.3.6,<1.4', WARNING, None, 'plugin.cls', module='mmpretrain'
    ),
    'openmim': Known('>=0.3.9', WARNING, WARNING, _TRAIN, 'mmengine', module='mim'),
    'onedl-mim': Known('>=0.5.1', WARNING, WARNING, _TRAIN, 'mmengine', module='mim'),
    # mmseg's CLIP tokenizer imports them; OpenMMLab's does not require them.
    'ftfy': Known('', ERROR, ERROR, _CLIP, 'mmseg'),
    'regex': Known('', ERROR, ERROR, _CLIP, 'mmseg'),
    'albumentations': Known(
        '>=2.0.8,<2.1', WARNING, WARNING, "the pipelines of mmyolo's YOLOv5", 'mmyolo'
    ),
    # 81 has no pkg_resources, which mmengine and mim of OpenMMLab import.
    'setuptools': Known('<81', None, None, 'pkg_resources'),
    # mmyolo's Mosaic stops in cv2.resize of 5.0; the others were not seen to.
    **{
        name: Known('>=4.11,<5', None, None, 'images', module='cv2')
        for name in (
            'opencv-python',
            'opencv-python-headless',
            'opencv-contrib-python',
            'opencv-contrib-python-headless',
        )
    },
}

OPENCV = tuple(name for name, known in KNOWN.items() if known.module == 'cv2')
SHARED = tuple(
    dict.fromkeys(
        known.module for known in KNOWN.values() if known.module not in (None, 'cv2')
    )
)
"""Import names that distributions of both families have."""

SHOWN = (
    *('mm-backbone-plugin', 'mmcv', 'mmcv-full', OPERATORS),
    *KNOWN,
    *('pip', 'transformers', 'pycocotools'),
)
"""Distributions whose versions are reported."""


def requirement(distribution: str) -> str:
    """Return a distribution with its versions, as pip takes it."""
    known = KNOWN.get(distribution)
    return f'{distribution}{known.versions if known else ""}'


def names_of(module: str) -> Iterator[str]:
    """Yield the distributions that have ``module``, OpenMMLab's first."""
    for name, known in KNOWN.items():
        if known.module == module:
            yield name


def name_in(family: str, module: str) -> str | None:
    """Return what ``module`` is called on the package index by ``family``, if it is."""
    return next((n for n in names_of(module) if family_of(n) == family), None)


def family_of(distribution: str) -> str:
    """Return who publishes a distribution that both might."""
    return ONEDL if distribution.startswith('onedl-') else OPENMMLAB


def module_of(distribution: str) -> str | None:
    """Return the import name that a distribution shares with others, if any."""
    if distribution in ('mmcv', 'mmcv-full'):
        return 'mmcv'
    known = KNOWN.get(distribution)
    return known.module if known else None


def transformers_below(mmpretrain: str) -> str | None:
    """Return the first transformers that does not suit a version of mmpretrain."""
    version = parse(mmpretrain)
    limit = WORKS_BELOW.get(version.release[:2]) if version else None
    return limit and '.'.join(map(str, limit))


def parse(version: str) -> Version | None:
    """Return a version that can be compared, None for one that cannot."""
    try:
        return Version(version)
    except InvalidVersion:
        return None


def suits(version: str, versions: str) -> bool:
    """Return whether ``version`` is among ``versions``, pre-releases included."""
    parsed = parse(version)
    return parsed is not None and SpecifierSet(versions).contains(
        parsed, prereleases=True
    )


def is_within(version: str, lowest: str | None, below: str | None) -> bool:
    """Return whether ``lowest`` <= ``version`` < ``below``, as the libraries compare.

    Unlike pip, they take a pre-release of ``below`` for lower than it.
    """
    parsed = parse(version)
    return (
        parsed is not None
        and (lowest is None or Version(lowest) <= parsed)
        and (below is None or parsed < Version(below))
    )


def in_words(lowest: str | None, below: str | None) -> str:
    """Return the range as pip has it: ``>=2.0,<2.1``."""
    bounds = (('>=', lowest), ('<', below))
    return ','.join(f'{sign}{bound}' for sign, bound in bounds if bound)
