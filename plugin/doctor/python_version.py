"""The interpreter."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator

from plugin.doctor.environment import Environment
from plugin.doctor.finding import ERROR, OK, Finding

LOWEST = (3, 10)


def python_version(environment: Environment) -> Iterator[Finding]:
    """Its version."""
    found, expected = platform.python_version(), '>={}.{}'.format(*LOWEST)
    if sys.version_info >= LOWEST:
        yield Finding('Python', OK, found, expected)
    else:
        fix = 'python{}.{} -m venv .venv'.format(*LOWEST)
        yield Finding('Python', ERROR, found, expected, fix)
