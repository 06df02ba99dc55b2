"""Everything that can be known to be wrong with a config before it trains.

A rule is a function in a file of this package that looks at a
:class:`~plugin.checking.subject.Subject` and yields problems; adding one is that
function and a line in ``RULES``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from plugin.checking.classes import classes
from plugin.checking.maps import maps
from plugin.checking.not_a_config import NotAConfig
from plugin.checking.preprocess import preprocess
from plugin.checking.problem import Problem
from plugin.checking.reading import read
from plugin.checking.subject import Subject
from plugin.checking.types import types
from plugin.checking.weights import weights

__all__ = ['NotAConfig', 'Problem', 'RuleFailed', 'Subject', 'check']

RULES: tuple[Callable[[Subject], Iterator[Problem]], ...] = (
    types,
    maps,
    weights,
    preprocess,
    classes,
)


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
    cfg, problems = read(config)
    if cfg is None:
        return problems
    subject = Subject(cfg)
    failure = None
    for rule in RULES:
        try:
            problems += rule(subject)
        except Exception as error:
            failure = failure or (rule.__name__, error)
    if failure:
        raise RuleFailed(*failure, problems) from failure[1]
    return problems
