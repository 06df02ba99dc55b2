"""A check that what is installed works together. Imports weights and the rooms below.

Needs click, rich and packaging, and imports none of what it looks at: the reason to
call it is an environment in which nothing else can be imported. A rule is a function
in a file of this package that looks at an
:class:`~plugin.doctor.environment.Environment` and yields findings; adding one is that
function and a line in ``RULES``. Versions are in :mod:`plugin.doctor.known`.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from plugin.doctor.commands import advised, install_all, pip_install
from plugin.doctor.environment import Environment, Finding
from plugin.doctor.installation import (
    config_names,
    mim_on_path,
    opencv,
    own_copy,
    shared_folders,
)
from plugin.doctor.known import ERROR, OK, SHOWN, STATUSES, WARNING
from plugin.doctor.mmcv import (
    Operators,
    compiled_extension,
    find_operators,
    mmcv_kind,
    operators,
)
from plugin.doctor.probes import try_imports
from plugin.doctor.versions import (
    gates,
    python_version,
    ranges,
    setuptools_gate,
    torch_build,
    torch_pair,
    transformers_clash,
)
from plugin.libraries import SCOPES

__all__ = [
    'ERROR',
    'OK',
    'STATUSES',
    'WARNING',
    'Diagnosis',
    'Environment',
    'Finding',
    'advised',
    'diagnose',
]

RULES: tuple[Callable[[Environment], Iterator[Finding]], ...] = (
    python_version,
    shared_folders,
    ranges,
    torch_pair,
    torch_build,
    mmcv_kind,
    operators,
    gates,
    transformers_clash,
    opencv,
    setuptools_gate,
    mim_on_path,
    config_names,
    own_copy,
)


@dataclass(frozen=True)
class Diagnosis:
    """Everything that was looked at.

    Attributes:
        findings: In the order of ``RULES``.
        versions: Version by distribution; None for one that is not installed.
        operators: mmcv's.
    """

    findings: tuple[Finding, ...]
    versions: dict[str, str | None]
    operators: Operators


def diagnose() -> Diagnosis:
    """Look at the environment of this interpreter."""
    environment = Environment()
    environment.probes = try_imports(_to_import(environment))
    findings: list[Finding] = []
    for rule in RULES:
        try:
            findings += rule(environment)
        except Exception as error:
            findings.append(
                Finding(
                    rule.__name__,
                    WARNING,
                    f'could not be looked at: {type(error).__name__}: {error}',
                    None,
                    'python -m plugin --debug doctor',
                )
            )
    findings += imports(environment, findings)
    versions = {name: environment.version(name) for name in SHOWN}
    return Diagnosis(
        tuple(findings),
        {'python': platform.python_version(), **versions},
        find_operators(environment),
    )


def _to_import(environment: Environment) -> list[str]:
    """Return the modules whose import the rules ask about."""
    modules = ['plugin', 'torch', *(f'{library}.models' for library in SCOPES)]
    mmcv = environment.folder('mmcv')
    if mmcv and compiled_extension(mmcv):
        modules[2:2] = ['mmcv', 'mmcv._ext']
    return [m for m in modules if environment.folder(m.partition('.')[0])]


# Findings that are not called after the module.
_FINDINGS = {'cv2': 'OpenCV', 'pkg_resources': 'setuptools'}


def imports(environment: Environment, earlier: Sequence[Finding]) -> Iterator[Finding]:
    """Report the imports that a training does first, for each library that is there.

    Args:
        environment: What to look at.
        earlier: What the rules have found, which may be why an import fails.
    """
    for library in SCOPES:
        if not environment.is_whole(library):
            continue
        module = f'{library}.models'
        reason = environment.probes[module].reason
        if reason is None:
            yield Finding(f'import {module}', OK, 'it works')
        else:
            fix = _import_fix(environment, library, reason, earlier)
            yield Finding(f'import {module}', ERROR, reason, None, fix)


def _import_fix(
    environment: Environment, library: str, reason: str, earlier: Sequence[Finding]
) -> str:
    """Return what fixes the finding that is the cause; else what the reason says."""
    errors = {f.name: f.fix for f in earlier if f.status == ERROR}
    own = [fix for name, fix in errors.items() if name.startswith(f'{library} ')]
    if own:
        return own[0]
    missing = re.match(r"ModuleNotFoundError: No module named '([\w.]+)'", reason)
    if missing:
        package = missing[1].partition('.')[0]
        finding = _FINDINGS.get(package, package)
        for name in (finding, f'{finding} files'):
            if name in errors:
                return errors[name]
        if package == missing[1]:
            return pip_install(package)
    return next(iter(errors.values()), None) or install_all(environment)
