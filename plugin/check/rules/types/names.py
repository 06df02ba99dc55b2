"""Types that can be named in a config, and which are nearest to one that can't."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from plugin.config.parts import ANY, WITHIN, registry_of
from plugin.libraries import SCOPES, SUCCESSORS, wiring
from plugin.nearest import likeness

# What took over from a class of mmcv 1.x.
RENAMED = {
    'MultiScaleFlipAug': 'TestTimeAug',
    'TextLoggerHook': 'LoggerHook',
    'EpochBasedRunner': 'EpochBasedTrainLoop',
    'IterBasedRunner': 'IterBasedTrainLoop',
    'Fp16OptimizerHook': 'AmpOptimWrapper',
}


def nearest_types(
    name: str, registry: str, scope: str, ours: bool, count: int = 3
) -> tuple[list[str], bool]:
    """Return what to write instead of a type that is not there, best first.

    Args:
        name: The type as it is written.
        registry: From which registry it is built, or ``ANY``.
        scope: In which scope.
        ours: Whether our classes are registered in that scope as well.
        count: How many, at most.

    Returns:
        The names, and whether they are the very class in another place.
    """
    bare = name.rpartition('.')[2]
    written_scope = SUCCESSORS.get(name.partition('.')[0], name.partition('.')[0])
    there = dict.fromkeys(_there(registry, scope, ours))
    same = [full for full, own in there if own == bare]
    library = wiring(scope)
    moved = library and {**RENAMED, **library.renamed}.get(bare)
    if moved and bare not in same:
        return [moved, *same][:count], True
    # The library that was meant comes first, then the one that is used.
    same.sort(key=lambda full: not full.startswith(f'{written_scope}.'))
    if same:
        return same[:count], True

    def score(candidate: tuple[str, str]) -> float:
        full, own = candidate
        return likeness(own, bare) + (0.05 if full == own else 0)

    near = sorted(there, key=score, reverse=True)
    return [full for full, _ in near[:count]], False


def likeness_of(name: str, other: str) -> float:
    """Return how alike two types are without their scopes, 1 for the same."""
    return likeness(name.rpartition('.')[2], other.rpartition('.')[2])


def _there(registry: str, scope: str, ours: bool) -> Iterator[tuple[str, str]]:
    """Yield each type as it is written under ``scope``, and without a scope."""
    for kind in WITHIN if registry == ANY else (registry,):
        for place in dict.fromkeys((scope, 'mmengine', 'plugin', *SCOPES)):
            for own in _names(kind, place):
                plain = place in (scope, 'mmengine')
                if plain and not ours and _is_ours(kind, place, own):
                    continue
                yield (own if plain else f'{place}.{own}'), own


def _names(registry: str, scope: str) -> list[str]:
    if scope != 'mmengine' and find_spec(scope) is None:
        return []
    own = registry_of(registry, scope)
    if own is None or own.scope != scope:
        return []
    try:
        own.import_from_location()
    except Exception:  # An extra of that library is missing, or clashes.
        return []
    return list(own.module_dict)


def _is_ours(registry: str, scope: str, name: str) -> bool:
    found = registry_of(registry, scope).module_dict[name]
    return getattr(found, '__module__', '').startswith('plugin.')


@cache
def source_with(name: str, library: str) -> str | None:
    """Return the file of a library that defines a class without registering it."""
    spec = find_spec(library) if library in SCOPES else None
    if spec is None or not spec.submodule_search_locations:
        return None
    root = Path(next(iter(spec.submodule_search_locations)))
    files = (p for p in root.rglob('*.py') if '.mim' not in p.parts)
    found = _defining(name, files)
    return found and f'{library}/{found.relative_to(root).as_posix()}'


def module_with(name: str, config: Path) -> str | None:
    """Return the module that defines a class, near a config or the current folder."""
    for root in dict.fromkeys((config.resolve().parent, Path.cwd())):
        files = [*sorted(root.glob('*.py')), *sorted(root.glob('*/*.py'))[:300]]
        found = _defining(name, (f for f in files if f != config.resolve()))
        if found is not None:
            parts = found.relative_to(root).with_suffix('').parts
            return '.'.join(part for part in parts if part != '__init__')
    return None


def _defining(name: str, files: Iterator[Path]) -> Path | None:
    pattern = re.compile(rf'^class {re.escape(name)}\b', re.MULTILINE)
    for path in files:
        try:
            if pattern.search(path.read_text(encoding='utf-8')):
                return path
        except (OSError, UnicodeDecodeError):
            continue
    return None
