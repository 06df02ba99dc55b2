"""Weights whose names nobody knows, put under those of a backbone; and the table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from plugin.align.variants import variants
from plugin.measure.backbone import build, type_name
from plugin.weights.audit.report import percent
from plugin.weights.matching.fit import best_prefix
from plugin.weights.matching.structure import (
    Aligned,
    StructureError,
    align_structure,
)

# From here on names say enough: what is missing is a head, or the norm of an output.
_KNOWN = 0.99


@dataclass(frozen=True)
class Placed:
    """Weights under the names of a backbone.

    Attributes:
        cfg: The backbone, with the variant that was found.
        module: It, without values.
        prefix: Of the weights in the source.
        names: The name in the source of each, and the one in the backbone.
        weights: Under the backbone's names.
    """

    cfg: dict[str, Any]
    module: nn.Module
    prefix: str
    names: dict[str, str]
    weights: dict[str, Tensor]


def place_by_structure(
    source: str,
    cfg: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    prefix: str | None,
) -> Placed:
    """Align weights with a backbone by order, shape and kind.

    Args:
        source: What to call the weights.
        cfg: Of the backbone; a variant that it does not name is tried out.
        weights: In the order and under the names of the file.
        prefix: Of the weights that are meant; None finds it.

    Raises:
        ValueError: The names are known, or the two are not one network, or might be in
            two ways.
    """
    best: tuple[int, str] | None = None
    first_error: Exception | None = None
    for more in ({}, *variants(cfg, dict(weights))):
        variant = {**cfg, **more}
        try:
            module = build(variant, meta=True)
        except (ValueError, AssertionError) as error:
            first_error = first_error or error
            continue
        named = best_prefix(weights, module) if prefix is None else None
        if named is not None and named[1].share >= _KNOWN:
            names = named[1].origin or 'its own'
            raise ValueError(
                f'{source} is in names that are known ({names}), for '
                f'{percent(named[1].share)} of {type_name(cfg)}: convert it without '
                '--by-structure'
            )
        try:
            aligned = align_structure(weights, module, prefix)
        except StructureError as error:
            if best is None or error.agreed > best[0]:
                best = error.agreed, str(error)
            continue
        return _placed(variant, module, aligned, weights)
    if best is None:
        raise first_error
    raise ValueError(
        f'{source} cannot be aligned with {type_name(cfg)} by structure: {best[1]}'
    )


def _placed(
    cfg: dict[str, Any],
    module: nn.Module,
    aligned: Aligned,
    weights: Mapping[str, Tensor],
) -> Placed:
    renamed = {new: weights[old] for old, new in aligned.names.items()}
    return Placed(cfg, module, aligned.prefix, aligned.names, renamed)


def table_path(out: Path) -> Path:
    """Return where the names of the weights in ``out`` are written."""
    return out.with_suffix('.json')


def write_table(path: Path, source: str, placed: Placed) -> None:
    """Write which name in the source became which, for reading and for using again."""
    table = {
        'source': source,
        'backbone': json.loads(json.dumps(placed.cfg, default=str)),
        'names': placed.names,
    }
    path.write_text(json.dumps(table, indent=1) + '\n')


def place_by_table(
    source: str, cfg: dict[str, Any], weights: Mapping[str, Tensor], table: Path
) -> Placed:
    """Rename weights by a table that an earlier alignment has written.

    Raises:
        ValueError: The file is no such table, or one of other weights.
    """
    names = _names_in(table)
    found = {old: new for old, new in names.items() if old in weights}
    if not found:
        raise ValueError(
            f'{table} is of other weights: {source} has no {next(iter(names), "name")}'
        )
    renamed = {new: weights[old] for old, new in found.items()}
    return Placed(cfg, build(cfg, meta=True), '', found, renamed)


def _names_in(table: Path) -> dict[str, str]:
    try:
        contents = json.loads(table.read_text('utf-8'))
    except ValueError as error:
        raise ValueError(f'{table} is not JSON: {error}') from None
    names = contents.get('names') if isinstance(contents, dict) else None
    texts = isinstance(names, dict) and all(isinstance(n, str) for n in names.values())
    if not texts or not names:
        raise ValueError(
            f'{table} is not a table of names; write {{"names": {{"old": "new"}}}}, as '
            'convert --by-structure writes it'
        )
    return names
