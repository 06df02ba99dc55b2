"""Everything that can be known to be wrong with a config before it trains.

A rule is a function in a file of this package that looks at a
:class:`~plugin.checking.subject.Subject` and yields problems; adding one is that
function and a line in ``RULES``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from plugin.backbone_entry import load_config
from plugin.checking.maps import maps
from plugin.checking.problem import Problem
from plugin.checking.subject import Subject

RULES: tuple[Callable[[Subject], Iterator[Problem]], ...] = (maps,)


def check(config: str) -> list[Problem]:
    """Every problem of a config, found without data and without memory for weights.

    Args:
        config: A path, or a name in an installed package such as
            ``mmdet::retinanet/retinanet_r50_fpn_1x_coco.py``.

    Raises:
        OSError: There is no such file.
        ValueError: It is no config.
    """
    subject = Subject(load_config(config))
    return [problem for rule in RULES for problem in rule(subject)]
