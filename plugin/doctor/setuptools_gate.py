"""``pkg_resources``, which setuptools has given up and mim and mmengine import."""

from __future__ import annotations

from collections.abc import Iterator

from plugin.doctor.commands import pip_install
from plugin.doctor.environment import Environment
from plugin.doctor.finding import ERROR, OK, Finding


def setuptools_gate(environment: Environment) -> Iterator[Finding]:
    """Whether there is one."""
    version = environment.version('setuptools') or 'not installed'
    if environment.folder('pkg_resources') is not None:
        yield Finding('setuptools', OK, f'{version}, with pkg_resources', '<81')
        return
    yield Finding(
        'setuptools',
        ERROR,
        f'{version}, without pkg_resources, so mim and names like mmdet::... fail',
        '<81',
        pip_install('setuptools<81'),
    )
