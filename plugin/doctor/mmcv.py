"""The kind of mmcv: full, lite with our operators, lite without, or broken."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from plugin.doctor.commands import install_mmcv
from plugin.doctor.environment import Environment, Finding
from plugin.doctor.known import ERROR, OK, OPERATORS, requirement


def mmcv_kind(environment: Environment) -> Iterator[Finding]:
    """Look at what ``mmcv._ext``, which every library imports, will be."""
    if environment.is_whole('mmcv'):
        yield _extension(environment, environment.folder('mmcv'))
    elif not environment.owners('mmcv'):
        name = requirement(environment.name('mmcv'))
        fix = install_mmcv(environment)
        yield Finding('mmcv', ERROR, 'not installed', name, fix)


def compiled_extension(folder: Path) -> Path | None:
    """Return the compiled ``_ext`` in mmcv's folder, which wins over ``_ext.py``."""
    files = (folder / f'_ext{suffix}' for suffix in EXTENSION_SUFFIXES)
    return next((file for file in files if file.is_file()), None)


def _extension(environment: Environment, folder: Path) -> Finding:
    version = environment.module_version('mmcv') or 'of unknown version'
    owners = environment.owners('mmcv')
    kind = 'onedl-mmcv' if environment.holder('mmcv') == 'onedl-mmcv' else 'lite'
    compiled = compiled_extension(folder)
    if compiled is None and (folder / '_ext.py').is_file():
        ops = environment.version(OPERATORS) or 'of unknown version'
        return Finding('mmcv', OK, f'{kind} {version} with {OPERATORS} {ops}')
    if compiled is None:
        return Finding(
            'mmcv',
            ERROR,
            f'{kind} {version} without mmcv._ext, so `import mmdet.models` fails',
            f'{OPERATORS} beside it',
            install_mmcv(environment),
        )
    reason = environment.probes['mmcv'].reason
    if reason is not None:
        return Finding('import mmcv', ERROR, reason, None, install_mmcv(environment))
    reason = environment.probes['mmcv._ext'].reason
    if reason is None:
        return Finding('mmcv', OK, f'full {version}, compiled ({compiled.name})')
    # pip removes the file with the distribution that it is from, if there is one.
    remove = f'rm {shlex.quote(str(compiled))} && '
    if [name for name in owners if name != 'mmcv-lite']:
        remove = ''
    return Finding(
        'mmcv',
        ERROR,
        f'a compiled {compiled.name} that does not load, and is taken before any '
        f'other: {reason}',
        'one that loads, or none',
        f'{remove}{install_mmcv(environment)}',
    )


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
    """Return the operators of the installed mmcv."""
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
    """Count them; that there are none is the finding on mmcv itself."""
    found = find_operators(environment)
    if found.covered:
        total = len(found.covered) + len(found.missing)
        names = f': {", ".join(found.covered)}' if found.missing else ''
        yield Finding('operators', OK, f'{len(found.covered)} of {total}{names}')


def _wanted(folder: Path) -> Iterator[str]:
    """Yield what mmcv's wrappers ask of it: ``load_ext('_ext', [names])``."""
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
    """Yield ``__all__`` of ``mmcv/_ext.py``."""
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
