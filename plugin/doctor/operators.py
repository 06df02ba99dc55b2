"""Which of mmcv's operators there are, read from the sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from plugin.doctor.environment import Environment
from plugin.doctor.finding import OK, Finding
from plugin.doctor.mmcv_kind import compiled_extension


@dataclass(frozen=True)
class Operators:
    """Operators of ``mmcv.ops`` by their names in ``mmcv._ext``, without direction.

    Attributes:
        covered: Those that run.
        missing: Those that raise when they are called.
    """

    covered: tuple[str, ...]
    missing: tuple[str, ...]


def find_operators(environment: Environment) -> Operators:
    """The operators of the installed mmcv."""
    folder = environment.folder('mmcv')
    if folder is None:
        return Operators((), ())
    wanted = _plain(_wanted(folder / 'ops'))
    if compiled_extension(folder) is not None:
        broken = environment.probes['mmcv._ext'].reason is not None
        return Operators((), wanted) if broken else Operators(wanted, ())
    offered = set(_plain(_offered(folder / '_ext.py')))
    return Operators(
        tuple(name for name in wanted if name in offered),
        tuple(name for name in wanted if name not in offered),
    )


def operators(environment: Environment) -> Iterator[Finding]:
    """How many there are; that there are none is the finding on mmcv itself."""
    found = find_operators(environment)
    if found.covered:
        total = len(found.covered) + len(found.missing)
        names = f': {", ".join(found.covered)}' if found.missing else ''
        yield Finding('operators', OK, f'{len(found.covered)} of {total}{names}')


def _wanted(folder: Path) -> Iterator[str]:
    """What mmcv's wrappers ask of the extension: ``load_ext('_ext', [names])``."""
    for file in sorted(folder.glob('*.py')):
        for node in ast.walk(_parsed(file)):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == 'load_ext'
                and len(node.args) == 2
            ):
                # These two say how it was compiled.
                yield from (
                    name
                    for name in _strings(node.args[1])
                    if not name.startswith('get_compil')
                )


def _offered(file: Path) -> Iterator[str]:
    """``__all__`` of ``mmcv/_ext.py``."""
    for node in _parsed(file).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == '__all__'
            for target in node.targets
        ):
            yield from _strings(node.value)


def _plain(names: Iterator[str]) -> tuple[str, ...]:
    ends = ('_forward', '_backward', '_backward_input', '_backward_parameters')
    found = set()
    for name in names:
        for end in sorted(ends, key=len, reverse=True):
            name = name.removesuffix(end)
        found.add(name)
    return tuple(sorted(found))


def _strings(node: ast.expr) -> Iterator[str]:
    for element in ast.walk(node):
        if isinstance(element, ast.Constant) and isinstance(element.value, str):
            yield element.value


def _parsed(file: Path) -> ast.Module:
    try:
        return ast.parse(file.read_text(encoding='utf-8'))
    except (OSError, SyntaxError, ValueError):
        return ast.Module(body=[], type_ignores=[])
