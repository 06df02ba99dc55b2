"""What a problem with a checkpoint is, and the fixes that such problems share."""

from __future__ import annotations

from plugin.checking.frozen import thawed
from plugin.checking.origins import (
    INIT_CFG,
    WHOLE,
    Origin,
    fills_backbone,
    origins,
    without,
)
from plugin.checking.problem import ERROR, Problem, assign, both
from plugin.checking.subject import Subject


def problem(
    origin: Origin,
    found: str,
    expected: str,
    fix: str,
    key: str | None = None,
    severity: str = ERROR,
) -> Problem:
    """A problem with ``origin``, at what names its checkpoint or at ``key``."""
    return Problem(key or origin.key, 'pretrained', severity, found, expected, fix)


def taken_out(subject: Subject, origin: Origin) -> str:
    """Takes ``origin`` out, and lets the backbone train if nothing else fills it."""
    statements = [without(origin)]
    others = [o for o in origins(subject) if o != origin]
    if fills_backbone(subject, origin) and not any(
        fills_backbone(subject, o) for o in others
    ):
        statements += thawed(subject)
    return both(statements)


def with_prefix(subject: Subject, origin: Origin, address: str, prefix: str) -> str:
    """Loads ``address`` under ``prefix``, which only an ``init_cfg`` can say."""
    if origin.way == INIT_CFG:
        changed = [] if address == origin.address else [assign(origin.key, address)]
        return both([*changed, assign(f'{origin.entry}.prefix', prefix or None)])
    entry = dict(type='Pretrained', checkpoint=address)
    if prefix:
        entry['prefix'] = prefix
    target = subject.backbone_key if origin.way == WHOLE else origin.target
    return both([without(origin), assign(f'{target}.init_cfg', entry)])
