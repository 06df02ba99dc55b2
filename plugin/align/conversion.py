"""Checkpoints rewritten in the names of a backbone, with their provenance."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plugin import __version__
from plugin.config.backbone import backbone_cfg
from plugin.measure.backbone import CHOICES, build, check, class_of, variants_of
from plugin.measure.signatures import arguments_of
from plugin.weights.audit.loading import Loading
from plugin.weights.audit.report import advice, check_min_loaded, percent, threshold
from plugin.weights.conventions import proposals
from plugin.weights.files.contents import under, weights_of
from plugin.weights.files.sources import read_checkpoint
from plugin.weights.matching.fit import Fit, best_prefix, derived, fit


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes:
        cfg: The backbone, with the variant that was found.
        prefix: Of the weights in the source.
        fit: What fitted.
        missing: Names of the backbone that the source lacks.
    """

    cfg: dict[str, Any]
    prefix: str
    fit: Fit
    missing: tuple[str, ...]


def convert(
    source: str,
    out: str | os.PathLike,
    backbone: str,
    options: Mapping[str, Any] | None = None,
    prefix: str | None = None,
    add_prefix: str = '',
    min_loaded: float | None = None,
    force: bool = False,
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

    Raises:
        ValueError: An argument is wrong, or the weights are of another model.
        OSError: A file can't be read or written.
    """
    out = Path(out)
    if out.suffix not in ('.pth', '.safetensors'):
        raise ValueError(f'{out} must end in .pth or .safetensors')
    if out.is_dir():
        raise IsADirectoryError(21, 'is a folder', str(out))
    if out.exists() and not force:
        raise FileExistsError(17, 'is already there; --force replaces it', str(out))
    if min_loaded is not None:
        check_min_loaded(min_loaded, '--min-loaded')
    cfg = {**backbone_cfg(backbone), **(options or {})}
    check(cfg)  # Before a download.
    weights = weights_of(read_checkpoint(source))
    if not weights:
        raise ValueError(f'{source} holds no weights')
    cfg, prefix = _place(cfg, weights, prefix)
    module = build(cfg, meta=True)
    found = fit(under(weights, prefix), module)
    if found.share < threshold(min_loaded) or not found.loaded:
        if prefix:
            cfg, _ = _place(cfg, weights, None)
            module = build(cfg, meta=True)
        loading = Loading(module, source, weights=weights, mismatched=found.mismatched)
        raise ValueError(
            f'{source} has {percent(found.share)} of the parameters of '
            f'{cfg["type"]}. {advice(loading, found.share)}; or lower --min-loaded'
        )
    missing = tuple(
        name
        for name in module.state_dict()
        if name not in found.tensors and not derived(name)
    )
    provenance = _provenance(source, cfg, prefix, found, missing)
    add_prefix = add_prefix and add_prefix.removesuffix('.') + '.'
    tensors = {
        f'{add_prefix}{name}': tensor.contiguous()
        for name, tensor in found.tensors.items()
    }
    _write(out, tensors, provenance)
    return Conversion(cfg, prefix, found, missing)


def _place(
    cfg: dict[str, Any], weights: Mapping[str, Tensor], prefix: str | None
) -> tuple[dict[str, Any], str]:
    """The variant of the backbone and the prefix that go together best."""
    prefixes = ['', 'backbone.'] if prefix is None else [prefix]
    best, best_score = (cfg, prefixes[0]), (-1.0, 0)
    for candidate in prefixes:
        inside = under(weights, candidate)
        variant = fitting(cfg, inside)
        found = fit(inside, build(variant, meta=True))
        # Names that agree in another size are still nearer than none.
        score = found.share, len(found.mismatched)
        if score > best_score:
            best, best_score = (variant, candidate), score
    if prefix is None and best_score[0] < 0.5:
        other = best_prefix(weights, build(best[0], meta=True))
        if other is not None and other[1].share > best_score[0]:
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
        digest = hashlib.sha256()
        with path.open('rb') as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
        facts['source_sha256'] = digest.hexdigest()
    return facts


def _write(out: Path, tensors: dict[str, Tensor], provenance: dict[str, str]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f'.{out.name}.{os.getpid()}.partial')
    try:
        if out.suffix == '.safetensors':
            from safetensors.torch import save_file

            # It refuses tensors that share memory.
            owned = {name: tensor.clone() for name, tensor in tensors.items()}
            save_file(owned, partial, metadata={'format': 'pt', **provenance})
        else:
            torch.save({'state_dict': tensors, 'meta': provenance}, partial)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


def fitting(cfg: Mapping[str, Any], weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """``cfg`` with the variant that ``weights`` are of, if it names none.

    Args:
        cfg: Of a backbone.
        weights: Under no prefix, in any names that are known.

    Raises:
        ValueError: The backbone can't be built, in any variant.
    """
    best, best_score, first_error = None, (-1.0, 0), None
    for more in ({}, *_variants(cfg, dict(weights))):
        try:
            found = fit(weights, build({**cfg, **more}, meta=True))
        except (ValueError, AssertionError) as error:
            first_error = first_error or error
            continue
        score = found.share, len(found.mismatched)
        if score > best_score:
            best, best_score = {**cfg, **more}, score
        if found.share > 0.99:
            break  # An output norm may be missing; no two variants agree so far.
    if best is None:
        raise first_error
    return best


def _variants(
    cfg: Mapping[str, Any], weights: dict[str, Tensor]
) -> Iterator[dict[str, Any]]:
    """Arguments to try, one set after another."""
    cls = class_of(cfg)
    taken = set(arguments_of(cls).names)
    if {'embed_dims', 'depths', 'num_heads', 'window_size'} <= taken:
        if not {'embed_dims', 'depths', 'num_heads'} & set(cfg):
            yield from _swin_arguments(weights)
    for choice in CHOICES:
        if choice in taken and choice not in cfg:
            # arch_zoo of mmpretrain has several names for one variant.
            table = reversed(variants_of(cls, choice).items())
            seen = {id(value): key for key, value in table}
            yield from ({choice: key} for key in seen.values())


def _swin_arguments(weights: dict[str, Tensor]) -> Iterator[dict[str, Any]]:
    for named in (weights, *(proposal for _, proposal in proposals(weights))):
        stem = named.get('patch_embed.projection.weight')
        tables = {}
        depths: dict[int, int] = {}
        for name, tensor in named.items():
            if name.endswith('.attn.w_msa.relative_position_bias_table'):
                _, stage, _, block, *_ = name.split('.')
                tables[int(stage)] = tensor
                depths[int(stage)] = max(depths.get(int(stage), 0), int(block) + 1)
        if stem is not None and tables:
            stages = sorted(tables)
            yield dict(
                embed_dims=len(stem),
                depths=tuple(depths[i] for i in stages),
                num_heads=tuple(tables[i].shape[1] for i in stages),
                window_size=(int(len(tables[stages[0]]) ** 0.5) + 1) // 2,
            )
