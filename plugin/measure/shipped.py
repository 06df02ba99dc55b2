"""Find the configs that an installed library ships, and the list of its weights.

Each folder of configs has a ``metafile.yml`` that names the files of weights and the
config of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from mmengine.config.utils import MODULE2PACKAGE

from plugin.libraries import SCOPES

# The one in C takes a tenth of the time.
_Loader = getattr(yaml, 'CSafeLoader', yaml.SafeLoader)


def _find_configs_by_module() -> None:
    """Let mmengine find ``mmseg::...`` where the library has another distribution.

    It looks in MODULE2PACKAGE for the name of OpenMMLab's (mmengine/config/utils.py),
    also in onedl's own copy, and then for a module of the name that it has found.
    """
    for library in SCOPES:
        try:
            distribution(MODULE2PACKAGE.get(library, library))
        except PackageNotFoundError:
            if find_spec(library) is not None:
                MODULE2PACKAGE[library] = library


_find_configs_by_module()


@dataclass(frozen=True)
class Listed:
    """One entry of a metafile.

    Attributes:
        name: Of the model and its training.
        collection: Of the models that it belongs to.
        config: The file of its config, which may not be there.
        weights: Address of its weights; None if it has none.
        origins: Addresses of the weights that those were converted from.
        data: Names of the data sets that it was evaluated on.
    """

    name: str
    collection: str
    config: Path
    weights: str | None
    origins: tuple[str, ...]
    data: tuple[str, ...]


@cache
def shipped(library: str) -> Path | None:
    """Return the folder of the configs that an installed library ships.

    Args:
        library: An import name.
    """
    spec = find_spec(library) if library in MODULE2PACKAGE else None
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / '.mim/configs'


def listed(library: str, text: str = '') -> Iterator[Listed]:
    """Yield the entries of the metafiles of an installed library, in their order.

    Args:
        library: An import name.
        text: Only of those metafiles in which this stands; the others are not parsed.
    """
    for path, content in _metafiles(library):
        if text in content:
            yield from _entries(path, content)


@cache
def _metafiles(library: str) -> tuple[tuple[Path, str], ...]:
    root = shipped(library)
    # mmseg's end in .yaml.
    found = sorted(root.glob('*/metafile.y*ml')) if root is not None else []
    return tuple((path, path.read_text('utf-8')) for path in found)


@cache
def _entries(path: Path, content: str) -> tuple[Listed, ...]:
    document = yaml.load(content, _Loader)
    models = document.get('Models') if isinstance(document, Mapping) else document
    root = path.parents[1].parent
    return tuple(_entry(model, root) for model in models or () if model.get('Config'))


def _entry(model: Mapping[str, Any], root: Path) -> Listed:
    weights = model.get('Weights')
    origins = [one.get('Weights') for one in _dicts(model.get('Converted From'))]
    return Listed(
        str(model.get('Name')),
        str(model.get('In Collection')),
        root / model['Config'],
        weights if isinstance(weights, str) else None,
        tuple(origin for origin in origins if isinstance(origin, str)),
        tuple(str(one.get('Dataset')) for one in _dicts(model.get('Results'))),
    )


def _dicts(value: Any) -> list[Mapping[str, Any]]:
    """Return the mappings of a value: one, those in a list, or none."""
    found = value if isinstance(value, list) else [value]
    return [one for one in found if isinstance(one, Mapping)]
