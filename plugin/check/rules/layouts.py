"""Maps that are none: vectors, sequences of patches, or channels last."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from plugin.check.checked_config import CheckedConfig
from plugin.config.problem import ERROR, Fix, Problem, assign
from plugin.libraries import MAP_SCOPES
from plugin.measure.features import NHWC, layout
from plugin.measure.signatures import signature_of

# Arguments that turn the maps on, in the libraries' backbones.
SWITCHES: tuple[tuple[str, Any], ...] = (
    ('gap_before_final_norm', False),
    ('out_type', 'featmap'),
    ('output_cls_token', False),
    ('gap', False),
    ('flatten', False),
)
# What a layout is, in words.
WORDS = {
    NHWC: '(N, H, W, C)',
    'NC': '(N, C)',
    'NLC': '(N, patches, C)',
}


def layouts(checked: CheckedConfig) -> Iterator[Problem]:
    """What detectors and segmentors can't take for maps.

    A classifier's backbone gives what its head takes; that is none of ours.
    """
    if checked.scope not in MAP_SCOPES or checked.backbone is None:
        return
    if checked.spec is not None or checked.backbone_key != 'model.backbone':
        return
    shapes, no_maps = checked.forward.shapes, checked.forward.no_maps
    if shapes is not None:
        if not all(isinstance(shape, tuple) for shape in shapes):
            return  # Some heads of mmseg take more than maps.
        found = f'{WORDS.get(layout(shapes), layout(shapes))}, such as {shapes[-1]}'
    elif no_maps and 'neck' in checked.model:
        found = no_maps.partition('; ')[0]
    else:
        return  # It does not run, which says nothing of what it gives.
    for key, fix in _ways(checked):
        spec = checked.with_fixes([fix]).spec
        if spec is not None:
            # A switch leaves the backbone what it is.
            safe = key != checked.backbone_key
            yield _problem(key, found, fix, safe=safe)
            return
    key = checked.backbone_key
    yield _problem(key, found, unknown=key)


def _problem(
    key: str, found: str, fix: Fix = (), unknown: str = '', safe: bool = False
) -> Problem:
    expected = '(N, C, H, W)'
    return Problem(
        key, 'layout', ERROR, found, expected, fix, unknown=unknown, safe=safe
    )


def _ways(checked: CheckedConfig) -> Iterator[tuple[str, Fix]]:
    """Keys, and what to write there, the plainest first."""
    cfg, holder = checked.backbone_cfg, checked.backbone_key
    part = next(p for p in checked.parts if p.key == holder)
    signature = signature_of(part.target)
    takes = set(cfg) | set(signature.names if signature else ())
    for name, value in SWITCHES:
        if name in takes and cfg.get(name) != value:
            yield f'{holder}.{name}', assign(f'{holder}.{name}', value)
    if part.target.__name__ == 'TIMMBackbone' and part.name != 'plugin.TIMMBackbone':
        yield holder, assign(holder, _as_ours(cfg))


def _as_ours(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of mmseg's and mmpretrain's TIMMBackbone as ours takes them."""
    from plugin.backbones.timm_backbone import TIMMBackbone

    own = signature_of(TIMMBackbone).names
    taken = {'type': 'plugin.TIMMBackbone', 'model_name': cfg['model_name']}
    others = {}
    for name, value in cfg.items():
        if name in own and value is not None:
            taken.setdefault(name, value)
        elif name not in ('type', '_scope_', 'init_cfg'):
            others[name] = value
    if others:
        taken['timm_kwargs'] = others
    return taken
