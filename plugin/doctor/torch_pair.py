"""torchvision, each release of which works with one release of torch."""

from __future__ import annotations

import re
from collections.abc import Iterator

from plugin.doctor.commands import pip_install
from plugin.doctor.environment import Environment
from plugin.doctor.finding import ERROR, OK, Finding
from plugin.doctor.ranges import requirement
from plugin.doctor.versions import is_within, sort_key

_BOUND = re.compile(r'(==|>=)\s*([\w.]+)')


def torch_pair(environment: Environment) -> Iterator[Finding]:
    """What torchvision's own metadata demand of torch."""
    torch = environment.version('torch')
    asked = environment.requirement('torchvision', 'torch')
    bound = _BOUND.search(asked or '')
    if torch is None or bound is None:
        return
    sign, version = bound.groups()
    fits = (
        sort_key(torch) == sort_key(version)
        if sign == '=='
        else is_within(torch, version, None)
    )
    name, expected = 'torchvision wants torch', f'{sign}{version}'
    if fits:
        yield Finding(name, OK, torch, expected)
    else:
        fix = pip_install('--upgrade', requirement('torch'), requirement('torchvision'))
        yield Finding(name, ERROR, torch, expected, fix)
