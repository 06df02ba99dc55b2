"""Which copy of this project a training will import, if any."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from plugin.doctor.environment import Environment
from plugin.doctor.finding import ERROR, OK, WARNING, Finding


def own_copy(environment: Environment) -> Iterator[Finding]:
    """Looked up without the working directory, which mim's programs don't have."""
    here = Path(__file__).resolve().parents[2]
    probe = environment.probes['plugin']
    fix = f'export PYTHONPATH={shlex.quote(str(here))}:"$PYTHONPATH"'
    if probe.reason is not None:
        yield Finding(
            'plugin',
            WARNING,
            f'only found from its own folder: {probe.reason}',
            'on PYTHONPATH, or installed with pip',
            fix,
        )
        return
    file = probe.facts.get('file')
    found = Path(file).resolve().parents[1] if file else None
    if found == here:
        version = environment.version('mm-backbone-plugin')
        ways = ['on PYTHONPATH'] if here in _pythonpath() else []
        ways += [f'installed with pip as {version}'] if version else []
        yield Finding('plugin', OK, f'{here} ({", ".join(ways) or "on sys.path"})')
        return
    yield Finding(
        'plugin',
        ERROR if found is None else WARNING,
        f'{found or "another package of this name"} is imported in training',
        f'this copy, {here}',
        fix,
    )


def _pythonpath() -> list[Path]:
    entries = os.environ.get('PYTHONPATH', '').split(os.pathsep)
    return [Path(entry).resolve() for entry in entries if entry]
