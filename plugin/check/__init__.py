"""What is wrong with a config. Imports probe and the rooms below.

A rule is a function in a file of ``rules/`` that looks at a
:class:`~plugin.check.checked_config.CheckedConfig` and yields problems; adding one is
that function and a line in ``RULES``. They see the config
with what ``FIRST`` found fixed.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from plugin.check.checked_config import CheckedConfig
from plugin.check.rules.arguments import arguments
from plugin.check.rules.backbone_forward import backbone_forward
from plugin.check.rules.classes import classes
from plugin.check.rules.counts import counts
from plugin.check.rules.decay import decay
from plugin.check.rules.freeze import freeze
from plugin.check.rules.layouts import layouts
from plugin.check.rules.maps import maps
from plugin.check.rules.part_inputs import part_inputs
from plugin.check.rules.preprocess import preprocess
from plugin.check.rules.refusals import model_refusals, refusals
from plugin.check.rules.size import size
from plugin.check.rules.training_step import TRAINING, training_step
from plugin.check.rules.types import default_scope, is_guess, types
from plugin.check.rules.weights import weights
from plugin.config.imports import import_all
from plugin.config.problem import ERROR, Fix, NotAConfig, Problem
from plugin.config.reading import read
from plugin.doctor import advised

__all__ = [
    'CheckedConfig',
    'NotAConfig',
    'Problem',
    'Report',
    'RuleFailed',
    'check',
    'examine',
]

Rule = Callable[[CheckedConfig], Iterator[Problem]]

RUN: tuple[Rule, ...] = (backbone_forward, layouts, maps, part_inputs)
"""Whether its parts fit together, which takes a model that can be built."""

FIRST: tuple[Rule, ...] = (
    default_scope,
    types,
    arguments,
    counts,
    refusals,
    model_refusals,
    size,
    *RUN,
)
"""Whether it can be built and run. What is wrong is fixed in memory before the next
one looks, so that a mistake does not hide those behind it."""

RULES: tuple[Rule, ...] = (
    weights,
    preprocess,
    freeze,
    decay,
    classes,
)
"""Whether it fits together."""


STEP: tuple[Rule, ...] = (training_step,)
"""Whether it trains, which takes seconds and memory."""


FIRST_THINGS = 'what is wrong above comes first'

WEIGHTS = 'pretrained'
"""The kind of problem that a training step does not depend on."""


class RuleFailed(Exception):
    """A rule raised: a failure of our own.

    Attributes:
        problems: What the other rules found.
    """

    def __init__(self, rule: str, error: Exception, problems: list[Problem]) -> None:
        super().__init__(f'the rule {rule} failed: {type(error).__name__}: {error}')
        self.problems = problems


@dataclass(frozen=True)
class Report:
    """What there is to say of a config.

    Attributes:
        problems: In the order of the rules.
        not_judged: What could not be looked at, each with the reason.
    """

    problems: list[Problem]
    not_judged: list[str]


def check(config: str) -> list[Problem]:
    """Every problem of a config; see :func:`examine`."""
    return examine(config).problems


def examine(
    config: str, step: bool = False, tell: Callable[[str], None] | None = None
) -> Report:
    """Look at a config without data and, without ``step``, without memory for weights.

    Args:
        config: A path, or a name in an installed package such as
            ``mmdet::retinanet/retinanet_r50_fpn_1x_coco.py``.
        step: Train for one step on the CPU as well, on samples that are made up.
        tell: Takes a line for the user, where it is going to take long.

    Raises:
        OSError: There is no such file.
        NotAConfig: It is no config.
        RuleFailed: A rule raised; the others were asked nevertheless.
    """
    with offline():
        cfg, problems = read(config)
        problems = [_with_advice(problem) for problem in problems]
        if cfg is None:
            return Report(problems, [f'the rest: {FIRST_THINGS}'])
        checked = CheckedConfig(cfg)
        checked.tell = tell or checked.tell
        if problems:
            checked = checked.with_fixes([problem.fix for problem in problems])
            import_all(checked.cfg)
        return _checked(checked, problems, step)


def _checked(checked: CheckedConfig, problems: list[Problem], step: bool) -> Report:
    failure = None
    later: list[Fix] = []
    blocked = False
    for rule in (*FIRST, *RULES, *(STEP if step else ())):
        found = []
        if rule in RUN and blocked:
            checked.leave('what the parts take', FIRST_THINGS)
            continue
        if rule in STEP:
            if any(_stops_all(p) for p in problems):
                checked.leave(TRAINING, FIRST_THINGS)
                continue
            checked, later = checked.with_fixes(later), []
        try:
            for problem in rule(checked):
                found.append(problem)
        except Exception as error:
            failure = failure or (rule.__name__, error)
        problems += map(_with_advice, found)
        if found and rule in FIRST:
            blocked = blocked or any(
                _stops_all(p) and p.key.startswith('model') for p in found
            )
            checked = _with_fixes(checked, found)
        elif found:
            # What follows are the rules that train, and weights are not loaded there.
            later += [p.fix for p in found if p.severity == ERROR and p.kind != WEIGHTS]
    if failure:
        raise RuleFailed(*failure, problems) from failure[1]
    left = [f'{what}: {reason}' for what, reason in checked.not_judged.items()]
    return Report(problems, left)


def _stops_all(problem: Problem) -> bool:
    """Whether nothing can be trained before the user has fixed it."""
    open_ = problem.unknown or problem.command
    return bool(open_) and problem.severity == ERROR and problem.kind != WEIGHTS


def _with_fixes(checked: CheckedConfig, found: list[Problem]) -> CheckedConfig:
    guessed = {p.key.removesuffix('.type') for p in found if is_guess(p)}
    return checked.with_fixes([p.fix for p in found], frozenset(guessed))


def _with_advice(problem: Problem) -> Problem:
    """Return ``problem`` with what is to be installed in versions that work together.

    A library asks for the newest transformers, say, and cannot be imported with it.
    """
    if not problem.command:
        return problem
    return replace(problem, command=advised(problem.command))


@contextmanager
def offline() -> Iterator[None]:
    """Within it every connection fails at once."""

    def connect(self: socket.socket, address: Any) -> None:
        raise OSError(f'check uses no network, and {address} was asked for')

    with patch.object(socket.socket, 'connect', connect):
        yield
