"""mmpretrain imports its multimodal models as soon as transformers is there."""

from __future__ import annotations

from collections.abc import Iterator

from plugin.doctor.commands import pip_uninstall
from plugin.doctor.environment import Environment
from plugin.doctor.finding import ERROR, OK, Finding
from plugin.doctor.versions import is_within

# From this version on mmpretrain 1.2.0 does it (mmpretrain/utils/dependency.py), and
# mmdet imports mmpretrain where it is.
_TAKEN_FROM = '4.28.0'


def transformers_clash(environment: Environment) -> Iterator[Finding]:
    """Nothing where one of the two is not installed."""
    version = environment.version('transformers')
    if not version or environment.folder('mmpretrain') is None:
        return
    name, expected = 'transformers', f'none beside mmpretrain, or <{_TAKEN_FROM}'
    if not is_within(version, _TAKEN_FROM, None):
        yield Finding(name, OK, version, expected)
        return
    reason = environment.probes['mmpretrain.models'].reason
    if reason is None:
        yield Finding(name, OK, f'{version}, and mmpretrain imports all the same')
        return
    yield Finding(
        name,
        ERROR,
        f'{version}, with which `import mmpretrain.models` fails, and with it '
        f'`import mmdet.models`: {reason}',
        expected,
        pip_uninstall('transformers'),
    )
