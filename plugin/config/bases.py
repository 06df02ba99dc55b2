"""``_base_``: the files that a config inherits from, looked up before mmengine does.

mmengine stops at the first that it doesn't find, and answers a wrong ``mmdet::`` name
with the names of every config there is.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config.utils import MODULE2PACKAGE
from mmengine.fileio import load

from plugin.config.names import config_file, nearest_configs, stem
from plugin.config.problem import ERROR, NotAConfig, Problem, assign
from plugin.config.user_code import EndsTheProgram, user_code
from plugin.libraries import SCOPES, SUCCESSORS
from plugin.measure.shipped import shipped
from plugin.nearest import CLOSE, is_typo, likeness

_TEMPLATE = re.compile(r'\{\{.*?\}\}')


@dataclass(frozen=True)
class Source:
    """A config file, read but not executed.

    Attributes:
        path: Where it is.
        bases: What its ``_base_`` says, as a list.
        several: Whether it is written as one.
        modules: Of the pure Python style: what it imports with ``read_base()``.
        places: Line and column of each base, and of ``_base_`` itself; counted from 1.
    """

    path: Path
    bases: tuple[str, ...]
    several: bool
    modules: tuple[ast.ImportFrom, ...] = ()
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def place(self, base: str) -> dict[str, Any]:
        """Return the file, line and column of a problem with ``base``."""
        known = self.places.get(base) or self.places.get('_base_') or (None, None)
        return dict(file=str(self.path), line=known[0], column=known[1])


def base_problems(path: Path) -> Iterator[Problem]:
    """Bases that don't exist, of the config and of what it inherits from.

    Raises:
        NotAConfig: A file of them is none.
    """
    yield from _problems(path.resolve(), (), path.resolve())


def _problems(path: Path, above: tuple[Path, ...], top: Path) -> Iterator[Problem]:
    source = read_source(path)
    key = '_base_' if path == top else f'_base_ of {_shown(path, top)}'
    found: dict[str, tuple[str, list[str] | str]] = {}
    right = list(source.bases)
    for i, base in enumerate(source.bases):
        try:
            file = config_file(base, path.parent)
            wrong = base if not file.is_file() else None
        except ValueError as error:
            wrong = f'{base}: {error}'
        if wrong and _to_be_installed(base):
            package = MODULE2PACKAGE[base.partition('::')[0]]
            expected = f'{package} is installed'
            command = f'mim install {package}'
            yield Problem(
                key,
                'base',
                ERROR,
                wrong,
                expected,
                command=command,
                **source.place(base),
            )
        elif wrong:
            folder = (path.parent / base).is_dir()
            near = [] if folder else _near(base, path.parent, (*above, path))
            found[base] = f'{wrong}, a folder' if folder else wrong, near or 'a file'
            right[i] = near[0] if _is_meant(base, near) else ''
        elif file.resolve() in (*above, path):
            wrong = f'{base}, which inherits from this file itself'
            found[base] = wrong, 'a file that does not inherit from this one'
            right.remove(base)
        else:
            yield from _problems(file.resolve(), (*above, path), top)
    # One value that fixes all of them: it is one line in the config.
    value = right if source.several or not right else right[0]
    known = '' not in right
    fix, unknown = (assign('_base_', value), '') if known else ((), key)
    safe = known and all(_is_typo(base, near) for base, (_, near) in found.items())
    for base, (wrong, expected) in found.items():
        more = dict(unknown=unknown, safe=safe, **source.place(base))
        yield Problem(key, 'base', ERROR, wrong, expected, fix, **more)
    for node in source.modules:
        yield from _module_problems(node, path, above, top)


def _near(base: str, folder: Path, inheriting: Sequence[Path]) -> list[str]:
    """Return the nearest names that do not lead back to a file that inherits."""
    near = nearest_configs(base, folder)
    return [n for n in near if (folder / n).resolve() not in inheriting]


def _is_meant(base: str, near: Sequence[str]) -> bool:
    """Return whether the nearest is near: what is far may be there all the same."""
    return bool(near) and likeness(stem(base), stem(near[0])) >= CLOSE


def _is_typo(base: str, near: list[str] | str) -> bool:
    return isinstance(near, list) and is_typo(stem(base), [stem(name) for name in near])


def _to_be_installed(base: str) -> bool:
    """Return whether a base is in a library of OpenMMLab that is not installed."""
    library = base.partition('::')[0]
    known = library in MODULE2PACKAGE and library not in SUCCESSORS
    return '::' in base and known and shipped(library) is None


def _module_problems(
    node: ast.ImportFrom, path: Path, above: tuple[Path, ...], top: Path
) -> Iterator[Problem]:
    """Yield those of ``from .retinanet import *`` under ``read_base()``."""
    module = f'{"." * node.level}{node.module}'
    folder, inside = _place_of(node, path)
    file = folder.joinpath(*inside).with_suffix('.py')
    if file.is_file():
        if file.resolve() not in (*above, path):
            yield from _problems(file.resolve(), (*above, path), top)
        return
    base = '/'.join(inside) + '.py'
    near = _near(base, folder, (*above, path))
    near = [n for n in near if n.endswith('.py') and not n.startswith('..')]
    dots = '.' * node.level if node.level else f'{(node.module or "").split(".")[0]}.'
    names = [dots + n.removesuffix('.py').replace('/', '.') for n in near]
    where = '' if path == top else f' of {_shown(path, top)}'
    key = f'read_base(){where}, line {node.lineno}'
    meant = _is_meant(base, near)
    fix = assign(f'read_base[{module!r}]', names[0]) if meant else ()
    safe = is_typo(module, names)
    unknown = '' if meant else key
    yield Problem(
        key,
        'base',
        ERROR,
        module,
        names,
        fix,
        unknown=unknown,
        safe=safe,
        file=str(path),
        line=node.lineno,
        column=node.col_offset + 1,
    )


def _place_of(node: ast.ImportFrom, path: Path) -> tuple[Path, list[str]]:
    """Return the folder to find a module of ``read_base()`` in, and its parts."""
    inside = (node.module or '').split('.')
    if node.level:
        return path.parents[node.level - 1], inside
    spec = find_spec(inside[0])
    places = spec.submodule_search_locations if spec else None
    return Path(next(iter(places or ['.']))), inside[1:]


def base_files(path: Path) -> list[Path]:
    """Return the files that a config inherits from directly, also missing ones.

    Raises:
        NotAConfig: It cannot be read, or is not Python.
    """
    source = read_source(path)
    files = []
    for base in source.bases:
        try:
            files.append(config_file(base, path.parent))
        except ValueError:
            continue  # A library that is not there; `base_problems` has it.
    for node in source.modules:
        folder, inside = _place_of(node, path)
        files.append(folder.joinpath(*inside).with_suffix('.py'))
    return files


def read_source(path: Path) -> Source:
    """Return what a config file inherits from.

    Raises:
        NotAConfig: It cannot be read, or is not Python.
    """
    try:
        text = path.read_text(encoding='utf-8')
    except OSError as error:
        raise NotAConfig(path, f'cannot be read: {error.strerror}') from error
    except UnicodeDecodeError as error:
        reason = f'is not UTF-8 text; save it as UTF-8 ({error})'
        raise NotAConfig(path, reason) from error
    if path.suffix in ('.yml', '.yaml', '.json'):
        return _of_data(path)
    if path.suffix != '.py':
        raise NotAConfig(path, 'a config is a .py, .yml, .yaml or .json file')
    try:
        tree = ast.parse(_without_templates(text, path), str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, 'lineno', None)
        reason = getattr(error, 'msg', str(error))
        raise NotAConfig(path, f'SyntaxError: {reason}', line) from error
    modules = tuple(
        inner
        for node in tree.body
        if isinstance(node, ast.With)
        for inner in node.body
        if isinstance(inner, ast.ImportFrom)
    )
    for node in tree.body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Name)
            and node.targets[0].id == '_base_'
        ):
            source = _source(path, _value(node, path), node.lineno)
            return replace(source, places=_places(node))
    return Source(path, (), False, modules)


def _of_data(path: Path) -> Source:
    try:
        contents = load(str(path))
    except Exception as error:
        # Where what is wrong begins; the problem's own mark is where it is noticed.
        mark = getattr(error, 'context_mark', None) or getattr(
            error, 'problem_mark', None
        )
        line = mark.line + 1 if mark else getattr(error, 'lineno', None)
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NotAConfig(path, reason, line) from error
    if not isinstance(contents, dict):
        raise NotAConfig(path, f'it holds a {type(contents).__name__}, not a mapping')
    return _source(path, contents.get('_base_', []), None)


def _source(path: Path, value: Any, line: int | None) -> Source:
    several = isinstance(value, (list, tuple))
    bases = tuple(value) if several else (value,)
    if not all(isinstance(base, str) for base in bases):
        raise NotAConfig(
            path, f'_base_={value!r} must be a path or a list of paths', line
        )
    return Source(path, bases, several)


def _places(node: ast.Assign) -> dict[str, tuple[int, int]]:
    """Line and column of each string in ``_base_``, and of the statement."""
    places = {'_base_': (node.lineno, node.col_offset + 1)}
    for inner in ast.walk(node.value):
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str):
            places[inner.value] = inner.lineno, inner.col_offset + 1
    return places


def _value(node: ast.Assign, path: Path) -> Any:
    """Return the assigned value, evaluated on its own as mmengine does."""
    expression = compile(ast.Expression(node.value), str(path), 'eval')
    try:
        with user_code():
            return eval(expression, {})
    except EndsTheProgram as error:
        raise NotAConfig(path, str(error), node.lineno) from error
    except Exception as error:
        reason = f'{type(error).__name__}: {error}'
        raise NotAConfig(path, reason, node.lineno) from error


def _without_templates(text: str, path: Path) -> str:
    """Return ``text`` with ``{{ fileDirname }}`` and the like as Python has it."""
    known = {
        'fileDirname': str(path.parent),
        'fileBasename': path.name,
        'fileBasenameNoExtension': path.stem,
        'fileExtname': path.suffix,
    }

    def value(match: re.Match) -> str:
        return known.get(match.group()[2:-2].strip(), 'None')

    return _TEMPLATE.sub(value, text)


def _shown(path: Path, top: Path) -> str:
    """Return ``path`` as the user knows it."""
    for library in SCOPES:
        root = shipped(library)
        if root in path.parents:
            return f'{library}::{path.relative_to(root).as_posix()}'
    try:
        return path.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return path.name if path.parent == top.parent else str(path)
