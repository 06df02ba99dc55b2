"""The imports that a training does first, tried."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from plugin.doctor.environment import Environment
from plugin.doctor.finding import ERROR, OK, Finding, install_all, pip_install
from plugin.doctor.gates import LIBRARIES

_FINDINGS = {'cv2': 'OpenCV', 'pkg_resources': 'setuptools'}
"""Findings that are not called after the module."""


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
            yield Finding(f'import {module}', ERROR, reason, None, fix)


def _fix(library: str, reason: str, earlier: Sequence[Finding]) -> str:
    """What mends the finding that is the cause; else what the reason itself says."""
    errors = {f.name: f.fix for f in earlier if f.status == ERROR}
    own = [fix for name, fix in errors.items() if name.startswith(f'{library} ')]
    if own:
        return own[0]
    missing = re.match(r"ModuleNotFoundError: No module named '([\w.]+)'", reason)
    if missing:
        package = missing[1].partition('.')[0]
        finding = _FINDINGS.get(package, package)
        if finding in errors:
            return errors[finding]
        if package == missing[1]:
            return pip_install(package)
    return next(iter(errors.values()), None) or install_all()
