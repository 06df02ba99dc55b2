"""Values that a class refuses, and what it takes instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from traceback import clear_frames
from typing import Any

from plugin.check.checked_config import CheckedConfig
from plugin.check.rule import Rule
from plugin.check.rules.refusals.calling import (
    CALLED,
    REFUSALS,
    refusal,
    suspects,
    values_for,
)
from plugin.config.parts import Part
from plugin.config.problem import ERROR, Fix, Problem, assign, delete
from plugin.freezing.base_hook import BackboneFreezing
from plugin.measure.build import MEMORY, SECONDS
from plugin.measure.failures import is_of_the_machine, message_of, one_line
from plugin.measure.limits import (
    TookTooLong,
    is_out_of_memory,
    memory_limit,
    time_limit,
)
from plugin.measure.signatures import signature_of
from plugin.measure.step.model import build_for_real

# How many mistakes in a model are looked for, one behind the other.
_IN_A_MODEL = 6
# A number that may keep a constructor busy; class counts of data sets are smaller.
_HUGE = 1_000_000
# How many values are tried for one that is refused.
_TRIES = 8

_MODES = ('train', 'val', 'test')

# How the libraries say that a package is missing.
_INSTALL = re.compile(
    r'(?:pip|mim) install [\w./\[\]"=<>-]+(?: [\w./\[\]"=<>-]+\.txt)?'
)

Takes = Callable[[Fix, Mapping[str, Any]], bool]
"""Tells whether a part is built after a fix, which makes its arguments these."""


def refusals(checked: CheckedConfig) -> Iterator[Problem]:
    """Yield what constructors refuse."""
    yield from runner_refusals(checked)
    yield from other_refusals(checked)
    yield from model_refusals(checked)


def runner_refusals(checked: CheckedConfig) -> Iterator[Problem]:
    """Yield what is missing for a loop of which the rest is there."""
    for kind in ('cfg', 'dataloader'):
        # No runner is meant: a piece that others inherit from, or one for inference,
        # which has the loader of its images alone. With `runner` it was one of 1.x.
        none = all(checked.cfg.get(f'{mode}_{kind}') is None for mode in _MODES)
        if none and 'runner' not in checked.cfg:
            return
    for mode in _MODES:
        last = 'optim_wrapper' if mode == 'train' else f'{mode}_evaluator'
        needed = (f'{mode}_dataloader', f'{mode}_cfg', last)
        missing = [key for key in needed if checked.cfg.get(key) is None]
        if missing and len(missing) < len(needed):
            there = ' and '.join(key for key in needed if key not in missing)
            expected = f'a value, as {there} {"has" if len(missing) == 2 else "have"}'
            for key in missing:
                yield Problem(key, 'argument', ERROR, None, expected, unknown=key)


def other_refusals(checked: CheckedConfig) -> Iterator[Problem]:
    """Yield what constructors other than those of the model refuse."""
    called = ''
    for part in checked.parts:
        # What is inside is built by what is around it.
        if part.registry not in CALLED or called and part.key.startswith(called):
            continue
        if _freezes(part):
            continue  # The rule `freeze` knows when to unfreeze instead.
        called = f'{part.key}.'
        if part.target is None:
            continue
        error = refusal(part, part.cfg)
        if error is not None:
            inside = [p for p in checked.parts if p.key.startswith(called)]
            if all(p.target for p in inside):
                inner = _part_of(error, [part, *inside]) or part
                yield _problem(inner, error, _takes(inner))


def _freezes(part: Part) -> bool:
    return isinstance(part.target, type) and issubclass(part.target, BackboneFreezing)


def model_refusals(checked: CheckedConfig) -> Iterator[Problem]:
    """Yield what the constructors of the model refuse, one behind the other."""
    for _ in range(_IN_A_MODEL):
        error = checked.build_error
        of_model = [p for p in checked.parts if p.key.startswith('model')]
        if error is None or any(p.target is None for p in of_model):
            return
        part = _part_of(error, of_model) or next(
            (p for p in of_model if p.key == 'model'), None
        )
        if part is None or part.key in checked.guessed:
            return
        install = _INSTALL.search(str(error))
        if install:
            yield _not_installed(part, error, install.group())
            return
        if is_of_the_machine(error):
            checked.leave(part.key, f'it cannot be built: {one_line(error)}')
            return
        if checked.is_endless:
            problem = _endless(part, error)
            clear_frames(error.__traceback__)  # They hold what is built by now.
            if problem is not None:
                yield problem
            else:
                reason = f'it cannot be built: {one_line(error)}'
                checked.leave(part.key, reason)
            return
        if not isinstance(error, REFUSALS) and not _fails_for_real(checked):
            return
        problem = _problem(part, error, _builds(checked, part))
        yield problem
        if not problem.fix:
            return
        fixed = checked.with_fixes([problem.fix])
        if str(fixed.build_error) == str(error):
            return
        checked = fixed


def _fails_for_real(checked: CheckedConfig) -> bool:
    """Return whether building also fails with memory for the weights."""
    try:
        with memory_limit(MEMORY), time_limit(SECONDS):
            build_for_real(checked.cfg)
    except TookTooLong:
        return False
    except Exception as error:
        return not is_out_of_memory(error) and not is_of_the_machine(error)
    return False


def _endless(part: Part, error: BaseException) -> Problem | None:
    """Report a constructor that does not end, by its largest number.

    Returns:
        None where no number is that large: a busy machine is slow, too.
    """
    numbers = {n: v for n, v in part.cfg.items() if type(v) is int}
    name = max(numbers, key=numbers.__getitem__, default=None)
    if name is None or numbers[name] < _HUGE:
        return None
    key = f'{part.key}.{name}'
    found = f'{name}={numbers[name]}'
    limit = f'{SECONDS:g} s' if isinstance(error, TookTooLong) else 'memory'
    return Problem(
        key,
        'argument',
        ERROR,
        f'{found}: building it takes more than {limit}',
        'a model that can be built',
        unknown=key,
    )


def _takes(part: Part) -> Takes:
    return lambda fix, cfg: refusal(part, cfg) is None


def _builds(checked: CheckedConfig, part: Part) -> Takes:
    def takes(fix: Fix, cfg: Mapping[str, Any]) -> bool:
        fixed = checked.with_fixes([fix])
        error = fixed.build_error
        if error is None:
            return True
        # Another part's mistake may lie behind this one.
        other = _part_of(error, fixed.parts)
        return other is not None and other.key != part.key

    return takes


def _part_of(error: BaseException, parts: list[Part]) -> Part | None:
    """Return the innermost part of the config whose constructor was being called."""
    found, trace = None, error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_code.co_name == 'build_from_cfg':
            target = frame.f_locals.get('obj_cls')
            written = frame.f_locals.get('cfg') or {}
            same = [p for p in parts if p.target is target is not None]
            # Two of one class are distinguished by their arguments.
            same.sort(key=lambda p: sum(written.get(k) != v for k, v in p.cfg.items()))
            found = same[0] if same else found
        trace = trace.tb_next
    return found


def _problem(part: Part, error: BaseException, takes: Takes) -> Problem:
    message = message_of(error)
    missing = re.search(r"missing \d+ required .* arguments?: '(\w+)'", message)
    if missing:
        return _missing(part, missing.group(1))
    if isinstance(error, KeyError) and ' registry' in message:
        return _inner_type(part, message)
    if isinstance(error, TypeError) and message.startswith('cfg should be a dict'):
        return _no_dict(part, error)
    names = suspects(part, message)
    for name in names:
        values = list(values_for(part, name, message))
        for value in values[:_TRIES]:
            fix = assign(f'{part.key}.{name}', value)
            if takes(fix, {**part.cfg, name: value}):
                # Of names and numbers there are others to choose from.
                shown = value if isinstance(value, list) else values[:3]
                return _refused(part, name, message, shown, fix)
    for name in (*names, *(n for n in part.cfg if n not in names)):
        if name in ('type', '_scope_') or not _has_default(part, name):
            continue
        fix = delete(f'{part.key}.{name}')
        if takes(fix, {k: v for k, v in part.cfg.items() if k != name}):
            return _refused(part, name, message, 'its default', fix)
    if names:
        name = names[0]
        return _refused(part, name, message, f'what {part.name} takes', ())
    return Problem(
        part.key,
        'argument',
        ERROR,
        _short(f'{type(error).__name__}: {message}'),
        f'arguments that {part.name} takes',
        unknown=part.key,
    )


def _not_installed(part: Part, error: Exception, command: str) -> Problem:
    found = _short(' '.join(str(error).split()))
    expected = f'what {part.name} needs is installed'
    command = command.rstrip('.')
    return Problem(part.key, 'import', ERROR, found, expected, command=command)


def _missing(part: Part, name: str) -> Problem:
    key = f'{part.key}.{name}'
    expected = f'{part.name} needs {name}'
    return Problem(key, 'argument', ERROR, 'nothing', expected, unknown=key)


def _inner_type(part: Part, message: str) -> Problem:
    """Report a class that looks up its parts in the scope of another library.

    mmyolo's YOLOv6EfficientRep under mmdet does not find its RepVGGBlock, for example.
    """
    scope = part.name.partition('.')[0] if '.' in part.name else part.scope
    inner = message.partition(' ')[0]
    return Problem(
        part.type_key,
        'registry',
        ERROR,
        f'{part.name} looks up its {inner} in {part.scope}',
        f'its parts are looked up in {scope}',
        assign(f'{part.key}._scope_', scope),
        safe=True,
    )


def _no_dict(part: Part, error: BaseException) -> Problem:
    """Report what is built, and is no dict: ``backbone=None``, say."""
    value, trace = None, error.__traceback__
    while trace is not None:
        value, trace = trace.tb_frame.f_locals.get('cfg', value), trace.tb_next
    names = [n for n, v in part.cfg.items() if v is value or _holds(v, value)]
    # Of several None the one of a part of the model.
    names.sort(key=lambda n: not n.endswith(('backbone', 'neck', 'head')))
    key = f'{part.key}.{names[0]}' if names else part.key
    found = part.cfg[names[0]] if names else value
    expected = 'a dict with a type'
    return Problem(key, 'argument', ERROR, found, expected, unknown=key)


def _holds(several: Any, value: Any) -> bool:
    return isinstance(several, (list, tuple)) and any(v is value for v in several)


def _refused(part: Part, name: str, message: str, expected: Any, fix: Fix) -> Problem:
    found = f'{name}={part.cfg[name]!r}'
    if message.startswith(found):
        found = message  # The class itself says which value it is.
    elif message not in ('', str(part.cfg[name])):
        found = f'{found}: {message}'
    key = f'{part.key}.{name}'
    unknown = '' if fix else key
    return Problem(
        key, 'argument', ERROR, _short(found), expected, fix, unknown=unknown
    )


def _has_default(part: Part, name: str) -> bool:
    signature = signature_of(part.target)
    return signature is None or name not in signature.required


def _short(text: str) -> str:
    return text if len(text) <= 200 else f'{text[:200]} ...'


RULE = Rule(
    name='refusals',
    finds='A value that the constructor of a class refuses; and what a loop lacks, '
    'such as `optim_wrapper` beside `train_dataloader`, which the Runner refuses.',
    why='Building stops, often with an assertion that names neither the value nor '
    'what is allowed.',
    example="_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"
    'model = dict(backbone=dict(depth=51))',
    fix='Write one that is taken; the nearest that the constructor takes is tried '
    'out. It is a choice, so it is unsafe. Safe: the scope in which a class of '
    'another library looks up its parts. What a loop lacks is for you to write.',
    look=refusals,
    first=True,
)
