"""Checkpoints that are not where the config says."""

from __future__ import annotations

from pathlib import Path

from plugin.check.checked_config import CheckedConfig
from plugin.check.frozen import unfrozen
from plugin.check.rules.weights.addresses import TAKEN_IN
from plugin.check.weight_sources import (
    INIT_CFG,
    TIMM,
    WHOLE,
    WeightSource,
    fills_backbone,
    weight_sources,
    without,
)
from plugin.config.problem import ERROR, WARNING, Fix, Problem, assign, both
from plugin.nearest import nearest

_ENDINGS = ('.pth', '.pt', '.bin', '.safetensors', '.tar', '.ckpt')


def gone(checked: CheckedConfig, origin: WeightSource, new: str | None) -> Problem:
    """``origin`` leads nowhere, and ``new`` is the nearest that does."""
    expected = new or 'the path or the URL of a checkpoint'
    if origin.way == TIMM:
        return problem(
            origin,
            f'timm has no weights for {origin.address.partition("://")[2]}',
            f'False, or a model with weights, such as {new.partition("://")[2]}',
            taken_out(checked, origin),
        )
    if new is None:
        return problem(origin, origin.address, expected, taken_out(checked, origin))
    fix = assign(origin.key, new)
    # What mmengine loads under mmcls:// it strips of this prefix.
    if origin.address.startswith(TAKEN_IN) and not new.startswith(TAKEN_IN):
        fix = with_prefix(checked, origin, new, 'backbone.')
    return problem(origin, origin.address, expected, fix)


def missing(checked: CheckedConfig, origin: WeightSource) -> Problem:
    """There is no such file; what is beside is likely meant.

    A relative path counts from where the training is started, which may be another
    folder than this one, so it is a warning; unless a near name is beside.
    """
    path = Path(origin.address)
    folder = path.expanduser().parent
    names = []
    if path.name and folder.is_dir():
        names = sorted(p.name for p in folder.iterdir() if p.suffix in _ENDINGS)
    near = nearest(path.name, names, at_least=0.5)
    beside = [str(path.with_name(name)) for name in near]
    return problem(
        origin,
        f'{origin.address or "an empty path"}, which is not there',
        ' or '.join(beside) or 'the path or the URL of a checkpoint',
        assign(origin.key, beside[0]) if beside else taken_out(checked, origin),
        severity=ERROR if beside or not path.name or path.is_absolute() else WARNING,
    )


def problem(
    origin: WeightSource,
    found: str,
    expected: str,
    fix: Fix,
    key: str | None = None,
    severity: str = ERROR,
    safe: bool = False,
) -> Problem:
    """A problem with ``origin``, at what names its checkpoint or at ``key``."""
    key = key or origin.key
    return Problem(key, 'pretrained', severity, found, expected, fix, safe=safe)


def taken_out(checked: CheckedConfig, origin: WeightSource) -> Fix:
    """Takes ``origin`` out, and lets the backbone train if nothing else fills it."""
    statements = [without(origin)]
    others = [o for o in weight_sources(checked) if o != origin]
    if fills_backbone(checked, origin) and not any(
        fills_backbone(checked, o) for o in others
    ):
        statements += unfrozen(checked)
    return both(statements)


def with_prefix(
    checked: CheckedConfig, origin: WeightSource, address: str, prefix: str
) -> Fix:
    """Loads ``address`` under ``prefix``, which only an ``init_cfg`` can say."""
    if origin.way == INIT_CFG:
        changed = [] if address == origin.address else [assign(origin.key, address)]
        return both([*changed, assign(f'{origin.entry}.prefix', prefix or None)])
    entry = dict(type='Pretrained', checkpoint=address)
    if prefix:
        entry['prefix'] = prefix
    target = checked.backbone_key if origin.way == WHOLE else origin.target
    return both([without(origin), assign(f'{target}.init_cfg', entry)])
