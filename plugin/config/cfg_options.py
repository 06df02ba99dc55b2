"""A fix as ``--cfg-options``, for a training that is started with it."""

from __future__ import annotations

import shlex
from argparse import ArgumentError, ArgumentParser
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

from mmengine.config import Config, DictAction

from plugin.config.edits import SET, Fix, apply_fixes
from plugin.config.overrides import override

# mmengine reads them when it reads the file, before it has the options.
_TOO_LATE = ('_base_', 'custom_imports', 'read_base')
# What DictAction and the merge raise at what they can't take.
# The last one where a dict stands in brackets (mmengine 0.10.7, DictAction).
_REFUSED = (
    ArgumentError,
    AssertionError,
    AttributeError,
    KeyError,
    TypeError,
    RecursionError,
)


def cfg_options(cfg: Config, fix: Fix) -> str | None:
    """Return the options that do what ``fix`` does, quoted for a shell.

    What is returned was parsed by mmengine's own ``DictAction`` and merged by its own
    ``merge_from_dict``, with the fixed config as the result.

    Returns:
        ``--cfg-options KEY=VALUE ...``; None where the fix can't be said so: mmengine
        has no way to write a string with a space or a class, for example.
    """
    if not fix or any(edit.steps[0] in _TOO_LATE for edit in fix):
        return None
    try:
        wanted = apply_fixes(cfg, [fix])
    except (LookupError, TypeError):
        return None  # It is about a place that another fix makes.
    for words in _ways(cfg, fix, wanted):
        if words and _do(cfg, words) == wanted._cfg_dict:
            return shlex.join(['--cfg-options', *words])
    return None


def _ways(cfg: Config, fix: Fix, wanted: Config) -> Iterator[list[str]]:
    """Yield options to try: entry by entry, then with ``_delete_`` and whole lists."""
    if all(edit.action == SET for edit in fix):
        yield [w for e in fix for w in _words('.'.join(map(str, e.steps)), e.value)]
    try:
        over = override(cfg._cfg_dict, wanted._cfg_dict)
    except ValueError:
        return
    yield [word for key, value in over.items() for word in _words(key, value)]


def _words(key: str, value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, child in value.items():
            yield from _words(f'{key}.{name}', child)
    else:
        yield f'{key}={_spelled(value)}'


def _spelled(value: Any) -> str:
    """Return it as DictAction reads it, which takes quotes and spaces out."""
    if isinstance(value, (list, tuple)):
        opening, closing = '[]' if isinstance(value, list) else '()'
        return f'{opening}{",".join(map(_spelled, value))}{closing}'
    return str(value)


def _do(cfg: Config, words: list[str]) -> Mapping[str, Any] | None:
    """Return the config with the options; None where mmengine refuses them."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    changed = deepcopy(cfg)
    try:
        options = parser.parse_args(['--cfg-options', *words]).cfg_options
        changed.merge_from_dict(options)
    except _REFUSED:
        return None
    return changed._cfg_dict
