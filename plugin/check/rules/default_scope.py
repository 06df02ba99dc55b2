"""A ``default_scope`` that is missing or unknown, though the model needs it."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from plugin.check.checked_config import CheckedConfig
from plugin.check.rule import Rule
from plugin.config.names import nearest
from plugin.config.parts import find
from plugin.config.problem import ERROR, WARNING, Problem, assign
from plugin.libraries import SCOPES, SUCCESSORS


def default_scope(checked: CheckedConfig) -> Iterator[Problem]:
    """Report a ``default_scope`` that is missing or unknown, if a model needs it."""
    cfg, key = checked.cfg, 'default_scope'
    written = cfg.get(key)
    if written and (written in SCOPES or _has_registry(written)):
        return
    model = checked.model.get('type')
    if not written and (
        not isinstance(model, str) or find(model, 'MODELS', 'mmengine') or '.' in model
    ):
        return
    having = [lib for lib in SCOPES if isinstance(model, str) and _has(lib, model)]
    near = having or nearest(written or '', (*SUCCESSORS, *SCOPES))
    near = list(dict.fromkeys(SUCCESSORS.get(name, name) for name in near))
    safe = len(having) == 1 or written in SUCCESSORS
    fix = assign(key, near[0])
    # Without data no runner builds it: mmpretrain's `get_model` has its own scope.
    trains = any(cfg.get(f'{mode}_dataloader') for mode in ('train', 'val', 'test'))
    severity = ERROR if written or trains else WARNING
    yield Problem(key, 'registry', severity, written, near, fix, safe=safe)


def _has_registry(scope: str) -> bool:
    try:
        return find_spec(f'{scope}.registry') is not None
    except (ImportError, ValueError):
        return False


def _has(library: str, model: str) -> bool:
    return find_spec(library) is not None and bool(find(model, 'MODELS', library))


RULE = Rule(
    name='default-scope',
    finds='A `default_scope` that is missing, or that names no library, though the '
    'model needs one.',
    why='mmengine looks up every type without a scope in the default one. With the '
    'name of a library of 1.x, such as `mmcls`, it finds none of them.',
    example="default_scope = 'mmcls'\n"
    'model = dict(\n'
    "    type='ImageClassifier',\n"
    "    backbone=dict(type='ResNet', depth=18),\n"
    "    neck=dict(type='GlobalAveragePooling'),\n"
    "    head=dict(type='LinearClsHead', num_classes=10, in_channels=512),\n"
    ')',
    fix='Write the library that has the type of the model. Safe where only one has '
    'it, and where a library took over from the one that is written; else unsafe.',
    look=default_scope,
    first=True,
)
