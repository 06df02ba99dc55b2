"""Compare when the hooks of a config unfreeze with how long it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmengine.runner import IterBasedTrainLoop

from plugin.check.checked_config import CheckedConfig
from plugin.check.rules.freeze.hooks import FreezingHook
from plugin.config.parts import find
from plugin.config.problem import ERROR, Fix, Problem, assign, both, delete
from plugin.freezing.schedule import count

# The schedule that mmdetection calls 1x: an epoch of it is a twelfth of a training.
_EPOCHS = 12


def bad_arguments(hook: FreezingHook, schedule: Schedule) -> Problem | None:
    """Report what the constructor of ``hook`` refuses."""
    if hook.error is None:
        return None
    given = hook.arguments
    ramp = [key for key in ('warmup_iters', 'warmup_ratio') if key in given]
    steps = [key for key in ('milestones',) if key in given]
    time = {hook.time: _default(hook, schedule)}
    for dropped, new in (
        (ramp, {}),
        (steps, {}),
        (steps, time),
        ([*steps, *ramp], time),
    ):
        kept = {k: v for k, v in given.items() if k not in dropped}
        try:
            hook.cls(**{**kept, **new})
        except (ValueError, TypeError):
            continue
        fix = [delete(f'{hook.key}.{k}') for k in dropped]
        fix += [assign(f'{hook.key}.{k}', v) for k, v in new.items()]
        changed = [*dropped, *(k for k in new if k in given)]
        key = f'{hook.key}.{changed[0]}' if changed else hook.key
        found, _, expected = hook.error.partition('; ')
        return Problem(key, 'freeze', ERROR, found, expected or found, both(fix))
    expected = f'arguments that {hook.name} takes'
    return Problem(hook.key, 'freeze', ERROR, hook.error, expected, delete(hook.key))


def bad_times(hook: FreezingHook, schedule: Schedule) -> Problem | None:
    """Report a hook of epochs in a loop of iterations, or unfreezing after the end."""
    if hook.is_another or not hook.unfreezes:
        return None
    begins = [begin for begin, _ in hook.built.milestones]
    if hook.built.unit == 'epoch' and not schedule.by_epoch:
        return _in_iterations(hook, schedule, begins)
    # A loop of epochs does not say how many iterations they have.
    comparable = (hook.built.unit == 'epoch') == schedule.by_epoch
    end = schedule.length
    if end is None or not comparable or max(begins) < end:
        return None
    if 'milestones' in hook.cfg:
        key = f'{hook.key}.milestones'
        last = max(begins) + 1
        new = _unique([begin * end // last for begin in begins])
        fix = _unfreeze(hook, new, end)
    else:
        key = f'{hook.key}.{hook.time}'
        fix = assign(key, end // 2)
    unit = hook.built.unit
    return Problem(
        key,
        'freeze',
        ERROR,
        f'unfreezes after {unit} {max(begins)}, but training has {count(end, unit)}',
        f'a number from 0 to {end - 1}',
        fix,
    )


def _in_iterations(
    hook: FreezingHook, schedule: Schedule, begins: Sequence[int]
) -> Problem:
    length = schedule.length or 1000 * _EPOCHS
    epochs = max(_EPOCHS, 2 * max(begins))
    new = _unique([begin * length // epochs for begin in begins])
    name = hook.name.replace('EpochBased', 'IterBased')
    prefix = 'plugin.' if not str(hook.cfg['type']) == hook.name else ''
    other = both(
        [
            assign(f'{hook.key}.type', f'{prefix}{name}'),
            *(
                [delete(f'{hook.key}.unfreeze_epoch')]
                if 'unfreeze_epoch' in hook.cfg
                else []
            ),
            _unfreeze(hook, new, length, 'unfreeze_iter'),
        ]
    )
    return Problem(
        hook.key,
        'freeze',
        ERROR,
        f'{hook.name}: this loop counts iterations, and the hook counts epochs',
        f'{name}',
        other,
    )


def _unfreeze(
    hook: FreezingHook,
    begins: Sequence[int] | None,
    length: int,
    time: str | None = None,
) -> Fix:
    """Unfreeze at ``begins``; at half of the training if they are equal."""
    time = time or hook.time
    stages = [stages for _, stages in hook.built.milestones]
    if 'milestones' not in hook.cfg:
        return assign(f'{hook.key}.{time}', begins[0] if begins else length // 2)
    if begins is None:
        return both(
            [
                delete(f'{hook.key}.milestones'),
                assign(f'{hook.key}.{time}', length // 2),
            ]
        )
    return assign(
        f'{hook.key}.milestones', [list(p) for p in zip(begins, stages, strict=True)]
    )


def _unique(begins: list[int]) -> list[int] | None:
    return begins if len(set(begins)) == len(begins) else None


def _default(hook: FreezingHook, schedule: Schedule) -> int:
    """Return a twelfth of the training, at least one epoch or iteration."""
    if hook.time == 'unfreeze_epoch':
        return max((schedule.length or _EPOCHS) // _EPOCHS, 1)
    known = schedule.length if not schedule.by_epoch else None
    return max((known or 1000 * _EPOCHS) // _EPOCHS, 1)


@dataclass(frozen=True)
class Schedule:
    """The training loop.

    Attributes:
        by_epoch: Whether it counts epochs; else it has only one.
        length: Its epochs or iterations; None if that is not written.
    """

    by_epoch: bool
    length: int | None


def schedule_of(checked: CheckedConfig) -> Schedule | None:
    """Return the training loop; None if the config has none, or an unknown one."""
    cfg = checked.cfg.get('train_cfg')
    if not isinstance(cfg, Mapping):
        return None
    loop = cfg.get('type')
    if isinstance(loop, str):
        loop = find(loop, 'LOOPS', checked.scope)
    if isinstance(loop, type):
        by_epoch = not issubclass(loop, IterBasedTrainLoop)
    elif 'by_epoch' in cfg:
        by_epoch = bool(cfg['by_epoch'])
    else:
        return None
    length = cfg.get('max_epochs' if by_epoch else 'max_iters')
    return Schedule(by_epoch, length if isinstance(length, int) else None)
