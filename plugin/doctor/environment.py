"""What is installed, read without importing any of it.

A package that can't be imported is what this is for, so versions come from metadata
and from parsed source.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cached_property
from importlib.metadata import Distribution, distributions
from pathlib import Path

from plugin.doctor.probes import Probe


class Environment:
    """The interpreter that runs this, and what is on its path.

    Attributes:
        probes: What came of imports in another process, by module.
    """

    def __init__(self) -> None:
        self.probes: dict[str, Probe] = {}

    @cached_property
    def _distributions(self) -> dict[str, Distribution]:
        found: dict[str, Distribution] = {}
        for distribution in distributions():
            try:
                name, version = distribution.metadata['Name'], distribution.version
            except Exception:  # A damaged one; others matter all the same.
                continue
            if name and version:
                # The first on the path is the one that is imported.
                found.setdefault(_normal(name), distribution)
        return found

    def version(self, distribution: str) -> str | None:
        """The version of an installed distribution, None if there is none."""
        found = self._distributions.get(_normal(distribution))
        return found.version if found else None

    def requirement(self, distribution: str, on: str) -> str | None:
        """What an installed distribution demands of another, as its metadata say."""
        found = self._distributions.get(_normal(distribution))
        for line in (found.requires or []) if found else []:
            match = re.match(r'([\w.-]+)([^;]*)$', line)
            if match and _normal(match[1]) == _normal(on):
                return match[2].strip(' ()')
        return None

    def folder(self, module: str) -> Path | None:
        """The folder of a package by its import name, None if there is none."""
        for finder in sys.meta_path:
            try:
                spec = finder.find_spec(module, None)
            except Exception:  # An editable install of something that has gone.
                continue
            if spec is not None and spec.origin:
                return Path(spec.origin).parent
            if spec is not None:
                # A namespace: folders without __init__.py.
                return Path(next(iter(spec.submodule_search_locations or []), '.'))
        return None

    def module_version(self, module: str) -> str | None:
        """``__version__`` of a package, as its own files say; else None.

        Of two distributions with one folder the files tell which came last.
        """
        folder = self.folder(module)
        for name in ('version.py', '_version.py', '__init__.py'):
            for key, value in constants(folder / name) if folder else ():
                if key == '__version__':
                    return value
        return None


def constants(file: Path) -> Iterator[tuple[str, str]]:
    """Names at the top of a source file that are bound to a string, and the string."""
    try:
        tree = ast.parse(file.read_text(encoding='utf-8'))
    except (OSError, SyntaxError, ValueError):
        return
    for node in tree.body:
        if isinstance(node, ast.AnnAssign):
            targets, value = [node.target], node.value
        elif isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        else:
            continue
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            for target in targets:
                if isinstance(target, ast.Name):
                    yield target.id, value.value


def _normal(name: str) -> str:
    return re.sub(r'[-_.]+', '-', name).lower()
