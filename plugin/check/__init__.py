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
from typing import Any
from unittest.mock import patch

from plugin.check.checked_config import CheckedConfig
from plugin.check.rules.arguments import arguments
from plugin.check.rules.channel_mismatch import channel_mismatch
from plugin.check.rules.classes import classes
from plugin.check.rules.counts import counts
from plugin.check.rules.decay import decay
from plugin.check.rules.freeze import freeze
from plugin.check.rules.layouts import layouts
from plugin.check.rules.maps import maps
from plugin.check.rules.preprocess import preprocess
from plugin.check.rules.refusals import model_refusals, refusals
from plugin.check.rules.types import default_scope, is_guess, types
from plugin.check.rules.weights import weights
from plugin.config.imports import import_all
from plugin.config.problem import NotAConfig, Problem
from plugin.config.reading import read

__all__ = ['NotAConfig', 'Problem', 'RuleFailed', 'CheckedConfig', 'check']

Rule = Callable[[CheckedConfig], Iterator[Problem]]

FIRST: tuple[Rule, ...] = (
    default_scope,
    types,
    arguments,
    counts,
    refusals,
    model_refusals,
)
"""Whether it can be built. What is wrong is mended in memory before the next one looks,
so that a mistake does not hide those behind it."""

RULES: tuple[Rule, ...] = (
    layouts,
    maps,
    channel_mismatch,
    weights,
    preprocess,
    freeze,
    decay,
    classes,
)
"""Whether it fits together."""


class RuleFailed(Exception):
    """A rule raised: a failure of our own.

    Attributes:
        problems: What the other rules found.
    """

    def __init__(self, rule: str, error: Exception, problems: list[Problem]) -> None:
        super().__init__(f'the rule {rule} failed: {type(error).__name__}: {error}')
        self.problems = problems


def check(config: str) -> list[Problem]:
    """Every problem of a config, found without data and without memory for weights.

    Args:
        config: A path, or a name in an installed package such as
            ``mmdet::retinanet/retinanet_r50_fpn_1x_coco.py``.

    Raises:
        OSError: There is no such file.
        NotAConfig: It is no config.
        RuleFailed: A rule raised; the others were asked nevertheless.
    """
    with offline():
        cfg, problems = read(config)
        if cfg is None:
            return problems
        checked = CheckedConfig(cfg)
        if problems:
            checked = checked.with_fixes([problem.fix for problem in problems])
            import_all(checked.cfg)
        return _checked(checked, problems)


def _checked(checked: CheckedConfig, problems: list[Problem]) -> list[Problem]:
    failure = None
    for rule in (*FIRST, *RULES):
        found = []
        try:
            for problem in rule(checked):
                found.append(problem)
        except Exception as error:
            failure = failure or (rule.__name__, error)
        problems += found
        if found and rule in FIRST:
            checked = _with_fixes(checked, found)
    if failure:
        raise RuleFailed(*failure, problems) from failure[1]
    return problems


def _with_fixes(checked: CheckedConfig, found: list[Problem]) -> CheckedConfig:
    guessed = {p.key.removesuffix('.type') for p in found if is_guess(p)}
    return checked.with_fixes([p.fix for p in found], frozenset(guessed))


@contextmanager
def offline() -> Iterator[None]:
    """Within it every connection fails at once."""

    def connect(self: socket.socket, address: Any) -> None:
        raise OSError(f'check uses no network, and {address} was asked for')

    with patch.object(socket.socket, 'connect', connect):
        yield
