"""Find what is wrong with a config. Imports probe and the rooms below.

A rule is a :class:`~plugin.check.rule.Rule` in a file or folder of ``rules/``, with a
function that looks at a :class:`~plugin.check.checked_config.CheckedConfig` and yields
problems; adding one is that file and a line in ``RULES``.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from mmengine.config import Config

from plugin.check import ignores
from plugin.check.checked_config import CheckedConfig
from plugin.check.locations import with_locations
from plugin.check.rule import Rule
from plugin.check.rules import (
    arguments,
    backbone_forward,
    bases,
    classes,
    counts,
    decay,
    default_scope,
    freeze,
    imports,
    layouts,
    maps,
    part_inputs,
    preprocess,
    refusals,
    size,
    training_step,
    types,
    unused_ignore,
    weights,
)
from plugin.config.imports import import_all
from plugin.config.names import config_path
from plugin.config.problem import ERROR, Fix, NotAConfig, Problem
from plugin.config.reading import read
from plugin.doctor import advised

__all__ = [
    'RULES',
    'CheckedConfig',
    'Examined',
    'NotAConfig',
    'Problem',
    'RuleFailed',
    'check',
    'examine',
]

RULES: tuple[Rule, ...] = (
    # Whether it can be read.
    bases.RULE,
    imports.RULE,
    # Whether it can be built.
    default_scope.RULE,
    types.RULE,
    arguments.RULE,
    counts.RULE,
    refusals.RULE,
    size.RULE,
    # Whether it can be run.
    backbone_forward.RULE,
    layouts.RULE,
    maps.RULE,
    part_inputs.RULE,
    # Whether it fits together.
    weights.RULE,
    preprocess.RULE,
    freeze.RULE,
    decay.RULE,
    classes.RULE,
    # Whether it trains, which takes seconds and memory.
    training_step.RULE,
    # Whether a comment about the others is still of use.
    unused_ignore.RULE,
)
"""All rules, in the order in which they look."""

RUN = (backbone_forward.RULE, layouts.RULE, maps.RULE, part_inputs.RULE)
"""Those for which the model has to be built."""

FIRST_THINGS = 'what is wrong above comes first'

WEIGHTS = 'pretrained'
"""The kind of problem that a training step does not depend on."""


class RuleFailed(Exception):
    """A rule raised: a failure of our own."""


@dataclass
class Examined:
    """A config that was looked at, with what was found.

    Attributes:
        config: As it was given.
        path: Its file.
        cfg: The config as it is; None if it can't be had before problems are fixed.
        problems: What was found and is not ignored.
        failures: In words, the rules that failed.
        not_judged: What could not be looked at, each with the reason.
        ran: Names of the rules that looked at it to the end.
    """

    config: str
    path: Path
    cfg: Config | None = None
    problems: list[Problem] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    not_judged: list[str] = field(default_factory=list)
    ran: set[str] = field(default_factory=set)


def check(config: str) -> list[Problem]:
    """Return every problem of a config, without data and without memory for weights.

    Args:
        config: A path, or a name in an installed package such as
            ``mmdet::retinanet/retinanet_r50_fpn_1x_coco.py``.

    Raises:
        OSError: There is no such file.
        NotAConfig: It is no config.
        RuleFailed: A rule raised.
    """
    found = examine(config)
    if found.failures:
        raise RuleFailed('; '.join(found.failures))
    return found.problems


def examine(
    config: str,
    select: Collection[str] | None = None,
    ignore: Collection[str] = (),
    step: bool = False,
    tell: Callable[[str], None] | None = None,
) -> Examined:
    """Look at a config without data and, without ``step``, without memory for weights.

    A rule that fails is noted, and the others look nevertheless.

    Args:
        config: As for :func:`check`.
        select: Names of the rules whose problems are wanted; None for all.
        ignore: Names of those whose problems are not.
        step: Train for one step on the CPU as well, on samples that are made up.
        tell: Takes a line for the user, where it is going to take long.

    Raises:
        OSError: There is no such file.
        NotAConfig: It is no config.
    """
    result = Examined(config, config_path(config))
    wanted = set(select if select is not None else [rule.name for rule in RULES])
    wanted -= set(ignore)
    with offline():
        cfg, problems = read(config)
        result.problems = [_named(problem) for problem in problems]
        result.ran.add(bases.RULE.name)
        if cfg is None:
            result.not_judged = [f'the rest: {FIRST_THINGS}']
        else:
            result.cfg = cfg
            result.ran.add(imports.RULE.name)
            checked = CheckedConfig(cfg)
            checked.tell = tell or checked.tell
            _look(result, checked, wanted, step)
            left = checked.not_judged.items()
            result.not_judged = [f'{what}: {reason}' for what, reason in left]
    result.problems = [
        _with_advice(p) for p in _once(result.problems) if p.rule in wanted
    ]
    result.problems = with_locations(result.problems, result.path)
    result.problems, unused = ignores.apply(
        result.problems, result.path, result.ran & wanted, [r.name for r in RULES]
    )
    if unused_ignore.RULE.name in wanted:
        result.problems += [replace(p, rule=unused_ignore.RULE.name) for p in unused]
    return result


def _once(problems: list[Problem]) -> Iterator[Problem]:
    """Leave out what a constructor refuses, where another rule says what belongs there.

    Zero classes, say, which the data set has 80 of.
    """
    fixed = {problem.key for problem in problems if problem.fix}
    for problem in problems:
        answered = problem.unknown == problem.key in fixed
        if not (answered and problem.rule == refusals.RULE.name):
            yield problem


def _named(problem: Problem) -> Problem:
    """Return a problem of reading with the name of its rule."""
    rule = bases.RULE if problem.kind == 'base' else imports.RULE
    return replace(problem, rule=rule.name)


def _look(
    result: Examined, checked: CheckedConfig, wanted: Collection[str], step: bool
) -> None:
    """Let each rule look at a config in which what comes before it is fixed."""
    if result.problems:
        checked = checked.with_fixes([problem.fix for problem in result.problems])
        import_all(checked.cfg)
    later: list[Fix] = []
    blocked = False
    for rule in RULES:
        if rule.look is None or not (rule.first or rule.name in wanted):
            continue
        if rule in RUN and blocked:
            checked.leave('what the parts take', FIRST_THINGS)
            continue
        if rule.step:
            if not step:
                continue
            if any(_stops_all(problem) for problem in result.problems):
                checked.leave(training_step.TRAINING, FIRST_THINGS)
                continue
            checked, later = checked.with_fixes(later), []
        found: list[Problem] = []
        try:
            for problem in rule.look(checked):
                found.append(replace(problem, rule=rule.name))
            result.ran.add(rule.name)
        except Exception as error:
            reason = f'{type(error).__name__}: {error}'
            result.failures.append(f'the rule {rule.name} failed: {reason}')
        result.problems += found
        if found and rule.first:
            blocked = blocked or any(
                _stops_all(p) and p.key.startswith('model') for p in found
            )
            checked = _with_fixes(checked, found)
        elif found:
            # What follows are the rules that train, and weights are not loaded there.
            later += [p.fix for p in found if p.severity == ERROR and p.kind != WEIGHTS]


def _stops_all(problem: Problem) -> bool:
    """Return whether nothing can be trained before the user has fixed it."""
    open_ = problem.unknown or problem.command
    return bool(open_) and problem.severity == ERROR and problem.kind != WEIGHTS


def _with_advice(problem: Problem) -> Problem:
    """Return ``problem`` with what is to be installed in versions that work together.

    A library asks for the newest transformers, say, and cannot be imported with it.
    """
    if not problem.command:
        return problem
    return replace(problem, command=advised(problem.command))


def _with_fixes(checked: CheckedConfig, found: list[Problem]) -> CheckedConfig:
    guessed = {p.key.removesuffix('.type') for p in found if types.is_guess(p)}
    return checked.with_fixes([p.fix for p in found], frozenset(guessed))


@contextmanager
def offline() -> Iterator[None]:
    """Within it every connection fails at once."""

    def connect(self: socket.socket, address: Any) -> None:
        raise OSError(f'check uses no network, and {address} was asked for')

    with patch.object(socket.socket, 'connect', connect), _hub_offline():
        yield


@contextmanager
def _hub_offline() -> Iterator[None]:
    """Within it the Hugging Face hub answers from its cache, and fails at once.

    Without a connection it tries five times, for 23 seconds, whatever it is asked for.
    """
    try:
        from huggingface_hub import constants
    except ImportError:
        yield
        return
    with patch.object(constants, 'HF_HUB_OFFLINE', True):
        yield
