"""Checkpoints rewritten in the names of a backbone, with their provenance."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plugin import __version__
from plugin.align.structure import (
    place_by_structure,
    place_by_table,
    table_path,
    write_table,
)
from plugin.align.variants import fitting
from plugin.config.backbone import backbone_cfg
from plugin.measure.backbone import build, check
from plugin.weights.audit.loading import Loading
from plugin.weights.audit.report import (
    advice,
    check_min_loaded,
    percent,
    reasons,
    threshold,
)
from plugin.weights.files.contents import under, weights_of
from plugin.weights.files.download import sha256_of
from plugin.weights.files.sources import read_checkpoint
from plugin.weights.files.whole_file import there_already, whole_file
from plugin.weights.matching.fit import Fit, best_prefix, derived, fit
from plugin.weights.matching.usable import without_values


@dataclass(frozen=True)
class Conversion:
    """The result of a conversion.

    Attributes:
        cfg: The backbone, with the variant that was found.
        prefix: Of the weights in the source.
        fit: What fitted.
        missing: Names of the backbone that the source lacks.
        unusable: Names in the source whose weights no model can use, with the reason.
    """

    cfg: dict[str, Any]
    prefix: str
    fit: Fit
    missing: tuple[str, ...]
    unusable: dict[str, str]


def convert(
    source: str,
    out: str | os.PathLike,
    backbone: str,
    options: Mapping[str, Any] | None = None,
    prefix: str | None = None,
    add_prefix: str = '',
    min_loaded: float | None = None,
    force: bool = False,
    by_structure: bool = False,
    names: Path | None = None,
) -> Conversion:
    """Write the weights of ``source`` under the names of ``backbone``.

    The file appears only when it is complete.

    Args:
        source: A checkpoint, as ``init_cfg`` takes it.
        out: A .pth or a .safetensors file.
        backbone: As :func:`backbone_cfg` takes it.
        options: Arguments of the backbone. A variant (``arch``, ``depth``, Swin's
            sizes) that is not among them is taken from the weights.
        prefix: Of the weights in the source; None finds it.
        add_prefix: Put before the names, such as ``'backbone.'``.
        min_loaded: Least share of the backbone's parameters.
        force: Replace ``out``.
        by_structure: Align the weights by order, shape and kind, and write the table
            of names beside ``out``.
        names: Such a table, to rename the weights by.

    Raises:
        ValueError: An argument is wrong, or the weights are of another model.
        OSError: A file can't be read or written.
    """
    out = Path(out)
    if out.suffix not in ('.pth', '.safetensors'):
        raise ValueError(f'{out} must end in .pth or .safetensors')
    if out.is_dir():
        raise IsADirectoryError(21, 'is a folder', str(out))
    if by_structure and names is not None:
        raise ValueError('give --names or --by-structure, not both')
    for path in (out, table_path(out)) if by_structure else (out,):
        if os.path.lexists(path) and not force:
            raise there_already(path)
    if min_loaded is not None:
        check_min_loaded(min_loaded, '--min-loaded')
    cfg = {**backbone_cfg(backbone), **(options or {})}
    check(cfg)  # Before a download.
    weights = weights_of(read_checkpoint(source))
    empty = without_values(weights)
    weights = {name: t for name, t in weights.items() if name not in empty}
    if not weights:
        held = f': {reasons(empty)}' if empty else ''
        raise ValueError(f'{source} holds no weights{held}')
    placed = None
    if by_structure:
        placed = place_by_structure(source, cfg, weights, prefix)
    elif names is not None:
        placed = place_by_table(source, cfg, weights, names)
    if placed is not None:
        cfg, module, prefix = placed.cfg, placed.module, placed.prefix
        found = fit(placed.weights, module)
    else:
        cfg, prefix = _place(cfg, weights, prefix)
        module = build(cfg, meta=True)
        found = fit(under(weights, prefix), module)
    if found.share < threshold(min_loaded) or not found.loaded:
        if prefix and placed is None:
            cfg, _ = _place(cfg, weights, None)
            module = build(cfg, meta=True)
        loading = Loading(
            module,
            source,
            weights=weights,
            mismatched=found.mismatched,
            unusable=found.unusable | empty,
        )
        raise ValueError(
            f'{source} has {percent(found.share)} of the parameters of '
            f'{cfg["type"]}. {advice(loading, found.share)}; or lower --min-loaded'
        )
    missing = tuple(
        name
        for name in module.state_dict()
        if not (name in found.tensors or name in found.unusable or derived(name))
    )
    provenance = _provenance(source, cfg, prefix, found, missing)
    if placed is not None:
        provenance['source_names'] = (
            'aligned by structure' if by_structure else f'renamed by {names}'
        )
    add_prefix = add_prefix and add_prefix.removesuffix('.') + '.'
    tensors = {
        f'{add_prefix}{name}': tensor.contiguous()
        for name, tensor in found.tensors.items()
    }
    with whole_file(out, replace=force) as partial:
        write_weights(partial, tensors, provenance)
    if by_structure:
        write_table(table_path(out), source, placed)
    return Conversion(cfg, prefix, found, missing, found.unusable | empty)


def _place(
    cfg: dict[str, Any], weights: Mapping[str, Tensor], prefix: str | None
) -> tuple[dict[str, Any], str]:
    """Return the variant of the backbone and the prefix that go together best."""
    prefixes = ['', 'backbone.'] if prefix is None else [prefix]
    best, best_score = (cfg, prefixes[0]), (-1.0, 0)
    for candidate in prefixes:
        inside = under(weights, candidate)
        variant = fitting(cfg, inside)
        found = fit(inside, build(variant, meta=True))
        if found.closeness > best_score:
            best, best_score = (variant, candidate), found.closeness
    if prefix is None and best_score[0] < 0.5:
        other = best_prefix(weights, build(best[0], meta=True))
        if other is not None and other[1].closeness > best_score:
            return fitting(cfg, under(weights, other[0])), other[0]
    return best


def _provenance(
    source: str, cfg: Mapping, prefix: str, found: Fit, missing: tuple[str, ...]
) -> dict[str, str]:
    facts = {
        'source': source,
        'source_prefix': prefix,
        'source_names': found.origin or "the backbone's own",
        'backbone': json.dumps(dict(cfg), default=str),
        'loaded': f'{found.loaded} of {found.total} parameters',
        'missing': ', '.join(missing),
        'resized': ', '.join(found.adapted),
        'converted_by': f'mm-backbone-plugin {__version__}',
    }
    path = Path(source).expanduser()
    if path.is_file():
        facts['source_sha256'] = sha256_of(path)
    return facts


def write_weights(
    path: Path, tensors: dict[str, Tensor], facts: dict[str, str]
) -> None:
    """Write a file of the format that its suffix says; OSError where that fails."""
    if path.suffix == '.safetensors':
        from safetensors import SafetensorError
        from safetensors.torch import save_file

        # It refuses tensors that share memory.
        owned = {name: tensor.clone() for name, tensor in tensors.items()}
        try:
            save_file(owned, path, metadata={'format': 'pt', **facts})
        except SafetensorError as error:
            raise _disk_error(error, path) from error
        return
    # To a path, torch writes by C++, which keeps the reason of a failure to itself.
    with _Disk(io.FileIO(path, 'w')) as file:
        try:
            torch.save({'state_dict': tensors, 'meta': facts}, file)
        except RuntimeError as error:
            raise file.failure or error from error


class _Disk(io.BufferedWriter):
    """A file that keeps what the disk has said, whatever torch makes of it."""

    failure: OSError | None = None

    def write(self, contents: bytes) -> int:
        try:
            return super().write(contents)
        except OSError as error:
            self.failure = error
            raise


def _disk_error(error: Exception, path: Path) -> Exception:
    """Return the OSError in a text of safetensors, such as ``(os error 28)``."""
    number = re.search(r'os error (\d+)', str(error))
    if number is None:
        return error
    return OSError(int(number[1]), os.strerror(int(number[1])), str(path))
