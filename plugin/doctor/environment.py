"""The installed packages, read without importing any of them, and what is wrong.

A package that cannot be imported is what this is for, so versions come from metadata
and from parsed source.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import Distribution, distributions, packages_distributions
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from plugin.doctor.known import (
    OK,
    OPENMMLAB,
    OPERATORS,
    SHARED,
    STATUSES,
    family_of,
    module_of,
    name_in,
)
from plugin.doctor.probes import Probe


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: What.
        status: ``ERROR`` will break something; ``WARNING`` may, or leaves a part of
            the project without what it needs; else ``OK``.
        found: What is there, in words.
        expected: What should be, in words; None where nothing in particular is.
        fix: A command for the shell; None where nothing is to be fixed.
    """

    name: str
    status: str
    found: str
    expected: str | None = None
    fix: str | None = None

    def __post_init__(self) -> None:
        assert self.status in STATUSES, self
        assert (self.fix is None) is (self.status == OK), self


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
                found.setdefault(canonicalize_name(name), distribution)
        return found

    @cached_property
    def _owners(self) -> dict[str, list[str]]:
        try:
            return dict(packages_distributions())
        except Exception:  # A damaged one, among all that there are.
            return {}

    def version(self, distribution: str) -> str | None:
        """Return the version of an installed distribution, None if there is none."""
        found = self._distributions.get(canonicalize_name(distribution))
        return found.version if found else None

    def requirements(self, distribution: str) -> Iterator[Requirement]:
        """Yield what an installed distribution demands, with and without extras."""
        found = self._distributions.get(canonicalize_name(distribution))
        for line in (found.requires or []) if found else []:
            try:
                yield Requirement(line)
            except InvalidRequirement:  # Written before there was a rule for it.
                continue

    def owners(self, module: str) -> list[str]:
        """Return the installed distributions that have files in a package's folder.

        That of the operators, which is beside another by intention, is left out.
        """
        listed = map(canonicalize_name, self._owners.get(module, ()))
        # One that lists no files is known by its name.
        known = (n for n in self._distributions if module_of(n) == module)
        return [n for n in dict.fromkeys((*listed, *known)) if n != OPERATORS]

    def holder(self, module: str) -> str | None:
        """Return the distribution whose files are in place: the last installed.

        Two that share a folder have written over each other.
        """
        owners = self.owners(module)
        for kind, value in self._declared(module):
            for name in owners:
                if value == (name if kind == 'of' else self.version(name)):
                    return name
        return owners[0] if owners else None

    @property
    def family(self) -> str:
        """Return who publishes what is here: mmengine, or whichever is installed."""
        for module in SHARED:
            name = self.holder(module)
            if name is not None:
                return family_of(name)
        return OPENMMLAB

    def name(self, module: str) -> str | None:
        """Return what to install for a package of both families in this environment.

        None if the family has none, as onedl has no mmyolo.
        """
        return name_in(self.family, module)

    def folder(self, module: str) -> Path | None:
        """Return the folder of a package by its import name, None if there is none."""
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

    def is_whole(self, module: str) -> bool:
        """Return whether a package has its first file, which others cannot replace."""
        folder = self.folder(module)
        return folder is not None and (folder / '__init__.py').is_file()

    def module_version(self, module: str) -> str | None:
        """Return ``__version__`` of a package, as its own files say; else None.

        Of two distributions with one folder the files tell which came last.
        """
        for kind, value in self._declared(module):
            return self.version(value) if kind == 'of' else value
        return None

    def _declared(self, module: str) -> Iterator[tuple[str, str]]:
        """Yield ('is', version), or ('of', the distribution that it is taken from)."""
        folder = self.folder(module)
        for name in ('version.py', '_version.py', '__init__.py'):
            file = folder / name if folder else Path(name)
            for target, value in _assignments(file) if folder else ():
                if target != '__version__':
                    continue
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield 'is', value.value
                elif (
                    # onedl: __version__ = importlib.metadata.version('onedl-mmcv')
                    isinstance(value, ast.Call)
                    and ast.unparse(value.func).endswith('version')
                    and len(value.args) == 1
                    and isinstance(value.args[0], ast.Constant)
                ):
                    yield 'of', canonicalize_name(str(value.args[0].value))


def constants(file: Path) -> Iterator[tuple[str, str]]:
    """Yield names at the top of a source file that are bound to a string, with it."""
    for name, value in _assignments(file):
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield name, value.value


def _assignments(file: Path) -> Iterator[tuple[str, ast.expr]]:
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
        for target in targets:
            if isinstance(target, ast.Name) and value is not None:
                yield target.id, value
