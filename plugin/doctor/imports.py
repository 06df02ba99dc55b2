"""The imports that a training does first, tried."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from plugin.doctor.commands import install_all, pip_install
from plugin.doctor.environment import Environment
from plugin.doctor.finding import ERROR, OK, Finding
from plugin.doctor.gates import LIBRARIES


def imports(environment: Environment, earlier: Sequence[Finding]) -> Iterator[Finding]:
    """One finding for each library that is installed.

    Args:
        environment: What to look at.
        earlier: What the rules have found, which may be why an import fails.
    """
    for library in LIBRARIES:
        if environment.folder(library) is None:
            continue
        module = f'{library}.models'
        reason = environment.probes[module].reason
        if reason is None:
            yield Finding(f'import {module}', OK, 'it works')
        else:
            fix = _fix(library, reason, earlier)
            yield Finding(f'import {module}', ERROR, reason, 'it works', fix)


def _fix(library: str, reason: str, earlier: Sequence[Finding]) -> str:
    causes = [finding for finding in earlier if finding.status == ERROR]
    own = [finding for finding in causes if finding.name.startswith(f'{library} ')]
    for finding in (*own, *causes):
        return finding.fix
    missing = re.match(r"ModuleNotFoundError: No module named '(\w+)'", reason)
    return pip_install(missing[1]) if missing else install_all()
