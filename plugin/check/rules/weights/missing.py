"""Checkpoints that are not where the config says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
from plugin.weights.files.package_files import ENDINGS, NotInPackage


def gone(checked: CheckedConfig, source: WeightSource, new: str | None) -> Problem:
    """Report that ``source`` leads nowhere, and ``new`` is the nearest that does."""
    expected = new or 'the path or the URL of a checkpoint'
    if source.way == TIMM:
        return problem(
            source,
            f'timm has no weights for {source.address.partition("://")[2]}',
            f'False, or a model with weights, such as {new.partition("://")[2]}',
            taken_out(checked, source),
        )
    if new is None:
        return problem(source, source.address, expected, taken_out(checked, source))
    fix = assign(source.key, new)
    # What mmengine loads under mmcls:// it strips of this prefix.
    if source.address.startswith(TAKEN_IN) and not new.startswith(TAKEN_IN):
        fix = with_prefix(checked, source, new, 'backbone.')
    return problem(source, source.address, expected, fix)


def missing(checked: CheckedConfig, source: WeightSource) -> Problem:
    """Report that there is no such file; one beside it is likely meant.

    A relative path counts from where the training is started, which may be another
    folder than this one, so it is a warning; unless a near name is beside.
    """
    path = Path(source.address)
    folder = path.expanduser().parent
    names = []
    if path.name and folder.is_dir():
        names = sorted(p.name for p in folder.iterdir() if p.suffix in ENDINGS)
    near = nearest(path.name, names, at_least=0.5)
    beside = [str(path.with_name(name)) for name in near]
    return problem(
        source,
        f'{source.address or "an empty path"}, which is not there',
        ' or '.join(beside) or 'the path or the URL of a checkpoint',
        assign(source.key, beside[0]) if beside else taken_out(checked, source),
        severity=ERROR if beside or not path.name or path.is_absolute() else WARNING,
    )


def not_in_package(
    checked: CheckedConfig, source: WeightSource, error: NotInPackage
) -> Problem:
    """Report a file of a Python package that is not there, or a package that is not."""
    found = error.sentence
    if error.command:
        expected = 'the package is installed'
        return problem(source, found, expected, command=error.command)
    expected = ' or '.join(error.near) or 'a checkpoint that the package holds'
    if error.near:
        return problem(source, found, expected, assign(source.key, error.near[0]))
    return problem(source, found, expected, taken_out(checked, source))


def problem(
    source: WeightSource,
    found: str,
    expected: str,
    fix: Fix = (),
    key: str | None = None,
    severity: str = ERROR,
    **more: Any,
) -> Problem:
    """Return a problem with ``source``, at what names its checkpoint or at ``key``."""
    key = key or source.key
    return Problem(key, 'pretrained', severity, found, expected, fix, **more)


def taken_out(checked: CheckedConfig, source: WeightSource) -> Fix:
    """Take ``source`` out, and let the backbone train if nothing else fills it."""
    statements = [without(source)]
    others = [o for o in weight_sources(checked) if o != source]
    if fills_backbone(checked, source) and not any(
        fills_backbone(checked, o) for o in others
    ):
        statements += unfrozen(checked)
    return both(statements)


def with_prefix(
    checked: CheckedConfig, source: WeightSource, address: str, prefix: str
) -> Fix:
    """Load ``address`` under ``prefix``, which only an ``init_cfg`` has."""
    if source.way == INIT_CFG:
        changed = [] if address == source.address else [assign(source.key, address)]
        return both([*changed, assign(f'{source.entry}.prefix', prefix or None)])
    entry = dict(type='Pretrained', checkpoint=address)
    if prefix:
        entry['prefix'] = prefix
    target = checked.backbone_key if source.way == WHOLE else source.target
    return both([without(source), assign(f'{target}.init_cfg', entry)])
