"""Whether what is installed works together. Imports spec and the rooms below.

Runs on the standard library alone and imports none of what it looks at: the reason to
call it is an environment in which nothing else can be imported. A rule is a function
in a file of this package that looks at an
:class:`~plugin.doctor.environment.Environment` and yields findings; adding one is that
function and a line in ``RULES``.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from plugin.doctor.environment import Environment
from plugin.doctor.finding import WARNING, Finding
from plugin.doctor.gates import (
    COMPANIONS,
    LIBRARIES,
    companions,
    gates,
    setuptools_gate,
    transformers_clash,
)
from plugin.doctor.imports import imports
from plugin.doctor.installation import DISTRIBUTIONS as OPENCV
from plugin.doctor.installation import mim_on_path, opencv, own_copy
from plugin.doctor.mmcv import (
    Operators,
    compiled_extension,
    find_operators,
    mmcv_kind,
    operators,
)
from plugin.doctor.probes import try_imports
from plugin.doctor.versions import (
    RANGES,
    python_version,
    ranges,
    torch_build,
    torch_pair,
)

RULES: tuple[Callable[[Environment], Iterator[Finding]], ...] = (
    python_version,
    ranges,
    torch_pair,
    torch_build,
    mmcv_kind,
    operators,
    gates,
    transformers_clash,
    opencv,
    setuptools_gate,
    companions,
    mim_on_path,
    own_copy,
)

_SHOWN = (
    *('mm-backbone-plugin', 'torch', 'torchvision', 'mmengine'),
    *('mmcv', 'mmcv-lite', 'mmcv-lite-ops'),
    *LIBRARIES.values(),
    *RANGES,
    *OPENCV,
    *COMPANIONS,
    *('setuptools', 'pip', 'transformers', 'pycocotools'),
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
    versions = {name: environment.version(name) for name in dict.fromkeys(_SHOWN)}
    return Diagnosis(
        tuple(findings),
        {'python': platform.python_version(), **versions},
        find_operators(environment),
    )


def _to_import(environment: Environment) -> list[str]:
    """What the rules want to know the import of."""
    modules = ['plugin', 'torch', *(f'{library}.models' for library in LIBRARIES)]
    mmcv = environment.folder('mmcv')
    if mmcv and compiled_extension(mmcv):
        modules[2:2] = ['mmcv', 'mmcv._ext']
    return [m for m in modules if environment.folder(m.partition('.')[0])]
