"""The variant of a backbone that weights are of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from plugin.measure.backbone import CHOICES, build, class_of, variants_of
from plugin.measure.signatures import arguments_of
from plugin.weights.conventions import proposals
from plugin.weights.matching.fit import Proposals, fit


def fitting(cfg: Mapping[str, Any], weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return ``cfg`` with the variant that ``weights`` are of, if it names none.

    Args:
        cfg: Of a backbone.
        weights: Under no prefix, in any names that are known.

    Raises:
        ValueError: The backbone can't be built, in any variant.
    """
    best, best_score, first_error = None, (-1.0, 0), None
    proposed = Proposals(dict(weights))
    for more in ({}, *variants(cfg, dict(weights))):
        try:
            found = fit(weights, build({**cfg, **more}, meta=True), proposed)
        except (ValueError, AssertionError) as error:
            first_error = first_error or error
            continue
        if found.closeness > best_score:
            best, best_score = {**cfg, **more}, found.closeness
        if found.closeness[0] > 0.99:
            break  # An output norm may be missing; no two variants agree so far.
    if best is None:
        raise first_error
    return best


def variants(
    cfg: Mapping[str, Any], weights: dict[str, Tensor]
) -> Iterator[dict[str, Any]]:
    """Yield arguments to try beside those of ``cfg``, one set after another."""
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
