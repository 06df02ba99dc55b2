"""Applying a fix, so that what lies behind a mistake can be looked at as well."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from copy import deepcopy
from typing import Any

from mmengine.config import Config

from plugin.config.problem import COMMAND, UNKNOWN


def apply_fixes(cfg: Config, fixes: Iterable[str]) -> Config:
    """A copy of ``cfg`` with the statements of ``fixes`` executed.

    Commands are not, nor what has a value that only the user knows.

    Args:
        cfg: The config.
        fixes: Each as :class:`~plugin.config.problem.Problem` has it.
    """
    copy = deepcopy(cfg)
    for fix in fixes:
        if not fix.startswith(COMMAND) and not fix.endswith(f'={UNKNOWN}'):
            exec(fix, {'__builtins__': {}}, _Entries(copy))
    return copy


class _Entries(MutableMapping):
    """The entries of a config as the variables of a statement."""

    def __init__(self, cfg: Config) -> None:
        self.entries = cfg._cfg_dict

    def __getitem__(self, name: str) -> Any:
        return self.entries[name]

    def __setitem__(self, name: str, value: Any) -> None:
        self.entries[name] = value

    def __delitem__(self, name: str) -> None:
        del self.entries[name]

    def __iter__(self):
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)
