"""Everything that can be known to be wrong with a config before it trains.

A rule is a function in a file of this package that looks at a
:class:`~plugin.checking.subject.Subject` and yields problems; adding one is that
function and a line in ``RULES``. They see the config with what ``FIRST`` found mended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from plugin.checking.arguments import arguments
from plugin.checking.classes import classes
from plugin.checking.counts import counts
from plugin.checking.decay import decay
from plugin.checking.freeze import freeze
from plugin.checking.imports import import_all
from plugin.checking.joints import joints
from plugin.checking.layouts import layouts
from plugin.checking.maps import maps
from plugin.checking.not_a_config import NotAConfig
from plugin.checking.offline import offline
from plugin.checking.preprocess import preprocess
from plugin.checking.problem import Problem
from plugin.checking.reading import read
from plugin.checking.refusals import model_refusals, refusals
from plugin.checking.subject import Subject
from plugin.checking.types import default_scope, is_guess, types
from plugin.checking.weights import weights

__all__ = ['NotAConfig', 'Problem', 'RuleFailed', 'Subject', 'check']

Rule = Callable[[Subject], Iterator[Problem]]

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
    joints,
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
        subject = Subject(cfg)
        if problems:
            subject = subject.mended([problem.fix for problem in problems])
            import_all(subject.cfg)
        return _checked(subject, problems)


def _checked(subject: Subject, problems: list[Problem]) -> list[Problem]:
    failure = None
    for rule in (*FIRST, *RULES):
        found = []
        try:
            for problem in rule(subject):
                found.append(problem)
        except Exception as error:
            failure = failure or (rule.__name__, error)
        problems += found
        if found and rule in FIRST:
            subject = _mended(subject, found)
    if failure:
        raise RuleFailed(*failure, problems) from failure[1]
    return problems


def _mended(subject: Subject, found: list[Problem]) -> Subject:
    guessed = {p.key.removesuffix('.type') for p in found if is_guess(p)}
    return subject.mended([p.fix for p in found], frozenset(guessed))
