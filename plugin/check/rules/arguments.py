"""Arguments that a class does not take, and those that it can't do without."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from plugin.check.checked_config import CheckedConfig
from plugin.check.rule import Rule
from plugin.config.parts import ANY, Part, child_key
from plugin.config.problem import ERROR, Problem, assign, both, delete
from plugin.measure.signatures import Signature, signature_of
from plugin.nearest import CLOSE, is_typo, nearest

# What the builder of a registry takes out before it calls the class.
TAKEN_OUT = {
    'HOOKS': {'priority'},
    'OPTIM_WRAPPERS': {'optimizer', 'constructor', 'paramwise_cfg'},
    'PARAM_SCHEDULERS': {'convert_to_iter_based', 'epoch_length'},
}
# What the builder of a registry adds. Of others not all that is added is known: a head
# gets the detector's train_cfg and test_cfg, a norm layer its channels.
ADDED = {
    'HOOKS': set(),
    'TRANSFORMS': set(),
    'METRICS': set(),
    'VISBACKENDS': {'save_dir'},
    'VISUALIZERS': {'name'},
    'LOG_PROCESSORS': set(),
    'OPTIMIZERS': {'params'},
    'OPTIM_WRAPPERS': {'optimizer'},
    'PARAM_SCHEDULERS': {'optimizer'},
    'LOOPS': {'runner', 'dataloader', 'evaluator'},
    'DATA_SAMPLERS': {'dataset', 'seed', 'sampler', 'batch_size'},
}


def arguments(checked: CheckedConfig) -> Iterator[Problem]:
    """Yield each argument that its class does not take or lacks, with what to write."""
    by_key = {part.key: part for part in checked.parts}
    for part in checked.parts:
        if '_delete_' in part.cfg:
            yield _nothing_to_delete(part)
        if part.target is None or part.key in checked.guessed or _read_by_parent(part):
            continue
        signature = signature_of(part.target)
        if signature is not None:
            readers = [by_key[key] for key in _around(part.key) if key in by_key]
            yield from _of_part(part, signature, readers, checked)


def _around(key: str) -> Iterator[str]:
    """Yield keys of parts that may read the arguments of the part at ``key``."""
    while key:
        key = key.rpartition('.')[0]
        yield key
        yield key.partition('[')[0]
        yield f'{key}.constructor'


def _read_by_parent(part: Part) -> bool:
    """Return whether a class takes a part apart itself, such as ``norm_cfg``."""
    last = part.key.rpartition('.')[2]
    return part.registry == ANY and (last.endswith('_cfg') or last == 'cfg')


def _of_part(
    part: Part, signature: Signature, readers: list[Part], checked: CheckedConfig
) -> Iterator[Problem]:
    known = {'type', '_scope_', '_delete_', *TAKEN_OUT.get(part.registry, ())}
    unknown = [
        name
        for name in part.cfg
        if name not in known
        and name not in signature.names
        and not any(_mentions(reader.target, name) for reader in readers)
    ]
    # mmpretrain's Flamingo takes `pretrained` out of its vision encoder, and is a
    # function that asks to install something where its extras are missing.
    absent = [reader.name for reader in readers if not isinstance(reader.target, type)]
    if unknown and absent:
        reason = f'{absent[0]}, which may read its arguments, is not there'
        checked.leave(part.key, reason)
        unknown = []
    missing = [
        name
        for name in signature.required
        if name not in part.cfg and name not in ADDED.get(part.registry, {name})
    ]
    free = [name for name in signature.names if name not in part.cfg]
    for name in unknown:
        near = nearest(name, free, at_least=CLOSE)
        if near and near[0] in missing:
            missing.remove(near[0])
        elif not near and len(missing) == 1 == len(unknown):
            near = [missing.pop()]
        key = child_key(part.key, name)
        value = part.cfg[name]
        fix = delete(key)
        if near:
            free.remove(near[0])
            fix = both((fix, assign(f'{part.key}.{near[0]}', value)))
        takes = near or list(signature.names)
        found = _shown(name, value)
        safe = is_typo(name, near)
        yield Problem(key, 'argument', ERROR, found, takes, fix, safe=safe)
    for name in missing:
        key = f'{part.key}.{name}'
        expected = f'{part.name} needs {name}'
        yield Problem(key, 'argument', ERROR, 'nothing', expected, unknown=key)


@cache
def _mentions(target: Callable | None, name: str) -> bool:
    """Return whether a class has a name in quotes, and so reads it from its parts.

    mmdet's DETRHead takes ``bg_cls_weight`` from its loss, for example, and mmyolo's
    optimizer constructors take ``batch_size_per_gpu`` from the optimizer.
    """
    for cls in getattr(target, '__mro__', (target,)):
        try:
            source = inspect.getsource(cls)
        except (OSError, TypeError):
            continue
        if f"'{name}'" in source or f'"{name}"' in source:
            return True
    return False


def _nothing_to_delete(part: Part) -> Problem:
    """Report a ``_delete_`` under which no base has anything."""
    key = f'{part.key}._delete_'
    expected = 'nothing: no base has anything in this place'
    return Problem(key, 'base', ERROR, True, expected, delete(key), safe=True)


def _shown(name: str, value: Any) -> str:
    # A name of other characters than those that are shown may move the cursor.
    name = name if name.isprintable() else repr(name)
    text = f'{name}={value!r}'
    return text if len(text) <= 60 else f'{name}=...'


RULE = Rule(
    name='arguments',
    finds='An argument that a class does not take, or that it lacks.',
    why='Building stops with a TypeError that does not say which part of the config '
    'it is about; or the argument is dropped without a word, where a class takes '
    'everything.',
    example="_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"
    'model = dict(backbone=dict(norm_evall=True))',
    fix='Write the argument that is nearest, or take it out. Safe where it can only '
    'be a misspelling; unsafe where it is taken out. What is lacking is for you '
    'to write.',
    look=arguments,
    first=True,
)
