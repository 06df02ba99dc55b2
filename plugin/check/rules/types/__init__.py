"""Types that no registry has, in any part of a config."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config.utils import MODULE2PACKAGE

from plugin.check.checked_config import CheckedConfig
from plugin.check.rules.types.names import (
    likeness_of,
    module_with,
    nearest_types,
    source_with,
)
from plugin.config.imports import imported_for_others, names, not_imported
from plugin.config.names import nearest
from plugin.config.parts import ANY, Part, find
from plugin.config.problem import ERROR, Fix, Problem, assign, both
from plugin.libraries import BY_SCOPE, COUNTED_FROM_ONE, SCOPES, SUCCESSORS
from plugin.nearest import is_typo

# Where the place does not say which registry is asked, a type that is like none is
# taken for a name that some class looks up itself.
_LIKE = 0.75


def default_scope(checked: CheckedConfig) -> Iterator[Problem]:
    """A ``default_scope`` that is missing or is none, though the model needs it."""
    cfg, key = checked.cfg, 'default_scope'
    written = cfg.get(key)
    if written and (written in SCOPES or _has_registry(written)):
        return
    model = checked.model.get('type')
    if not written and (
        not isinstance(model, str) or find(model, 'MODELS', 'mmengine') or '.' in model
    ):
        return
    having = [lib for lib in SCOPES if isinstance(model, str) and _has(lib, model)]
    near = having or nearest(written or '', (*SUCCESSORS, *SCOPES))
    near = list(dict.fromkeys(SUCCESSORS.get(name, name) for name in near))
    safe = len(having) == 1 or written in SUCCESSORS
    fix = assign(key, near[0])
    yield Problem(key, 'registry', ERROR, written, near, fix, safe=safe)


def _has_registry(scope: str) -> bool:
    try:
        return find_spec(f'{scope}.registry') is not None
    except (ImportError, ValueError):
        return False


def _has(library: str, model: str) -> bool:
    return find_spec(library) is not None and bool(find(model, 'MODELS', library))


def types(checked: CheckedConfig) -> Iterator[Problem]:
    """Each type that does not resolve, with what to write."""
    theirs = imported_for_others(checked.cfg)
    without_import: list[Part] = []
    not_installed: dict[str, list[Problem]] = {}
    for part in checked.parts:
        if _needs_our_import(part, checked):
            without_import.append(part)
        elif part.target is None or _only_for_others(part, theirs):
            if _may_be_missing(part, checked):
                continue
            problem = _unknown(part, checked)
            if problem and problem.command:
                not_installed.setdefault(problem.command, []).append(problem)
            elif problem:
                yield problem
    for problems in not_installed.values():
        yield _together(problems)
    if without_import:
        yield _our_import(without_import, checked)


def is_guess(problem: Problem) -> bool:
    """Whether a type's fix is merely the nearest name, so that the rest may not fit."""
    if problem.kind != 'registry' or not isinstance(problem.expected, list):
        return False
    return likeness_of(str(problem.found), problem.expected[0]) < _LIKE


def _may_be_missing(part: Part, checked: CheckedConfig) -> bool:
    """Whether an import that failed, and was told, may be what registers a type."""
    failed = not_imported(checked.cfg)
    if not failed:
        return False
    ours = ours_imported(checked, part.scope)
    if nearest_types(part.name, part.registry, part.scope, ours)[1]:
        return False  # It is elsewhere.
    reason = f'{part.name} may be of {", ".join(failed)}, which cannot be imported'
    checked.leave(part.type_key, reason)
    return True


def _together(problems: list[Problem]) -> Problem:
    """One problem for all types that one package would bring."""
    first, others = problems[0], len(problems) - 1
    if not others:
        return first
    return replace(first, found=f'{first.found}; {others} more of its types are used')


def ours_imported(checked: CheckedConfig, scope: str) -> bool:
    """Whether a config imports the package that registers ours in ``scope``."""
    if scope not in BY_SCOPE:
        return False
    package = BY_SCOPE[scope].package
    return any(
        name == package or name.startswith(f'{package}.') or _mentions(name, package)
        for name in names(checked.cfg)
    )


def _mentions(module: str, package: str) -> bool:
    """Whether a module of the user's imports ``package`` itself."""
    if module.partition('.')[0] in ('plugin', *SCOPES):
        return False
    try:
        spec = find_spec(module)
        text = Path(spec.origin).read_text(encoding='utf-8')
    except Exception:
        return False
    return package in text or f'import {package.rpartition(".")[2]}' in text


def _needs_our_import(part: Part, checked: CheckedConfig) -> bool:
    """Whether it is one of ours, named as if it were the library's."""
    if not isinstance(part.type, str) or '.' in part.type:
        return False
    if part.scope not in SCOPES or ours_imported(checked, part.scope):
        return False
    if part.target is not None:
        return getattr(part.target, '__module__', '').startswith('plugin.')
    near, same = nearest_types(part.type, part.registry, part.scope, ours=False)
    return same and near[0].startswith('plugin.')


def _our_import(parts: list[Part], checked: CheckedConfig) -> Problem:
    first = parts[0]
    package = BY_SCOPE[first.scope].package
    imports = [*names(checked.cfg), package]
    others = ', '.join(part.type_key for part in parts[1:])
    return Problem(
        first.type_key,
        'registry',
        ERROR,
        f'{first.name} without the import of {package}'
        + (f'; also {others}' if others else ''),
        f'{package} in custom_imports, or plugin.{first.name}',
        assign('custom_imports', dict(imports=imports, allow_failed_imports=False)),
        safe=True,
    )


def _only_for_others(part: Part, theirs: frozenset[str]) -> bool:
    """Whether its class is only there because another config was checked before."""
    return isinstance(part.type, str) and (
        getattr(part.target, '__module__', None) in theirs
        and not part.target.__module__.startswith(('plugin.', *SCOPES, 'mm'))
    )


def _unknown(part: Part, checked: CheckedConfig) -> Problem | None:
    name = part.name
    ours = ours_imported(checked, part.scope)
    near, same = nearest_types(name, part.registry, part.scope, ours)
    # It may be there for another config, whose imports were done before.
    near = [other for other in near if other != name]
    bare, scope = name.rpartition('.')[2], name.partition('.')[0]

    def problem(expected: object, found: str = name, **fix: Any) -> Problem:
        return Problem(part.type_key, 'registry', ERROR, found, expected, **fix)

    library = scope if '.' in name else part.scope
    absent = (
        library in MODULE2PACKAGE
        and library not in SUCCESSORS
        and find_spec(library) is None
    )
    if absent:
        package = MODULE2PACKAGE[library]
        found = f'{name}: {library} is not installed'
        command = f'mim install {package}'
        return problem(f'{package} is installed', found, command=command)
    if same and near and (near[0] == bare or not source_with(bare, library)):
        return problem(near, fix=_renamed(part, near[0]), safe=True)
    if library in MODULE2PACKAGE and library not in SUCCESSORS:
        source = source_with(bare, library)
        if source:
            # mmpretrain registers some of its models with its extras only.
            one = BY_SCOPE.get(library)
            extra = f'[{one.extra}]' if one and one.extra else ''
            command = f'mim install "{MODULE2PACKAGE[library]}{extra}"'
            found = f'{name}: {source} has it, which {library} does not import here'
            expected = f'what {source} needs is installed'
            return problem(expected, found, command=command)
    module = module_with(bare, Path(checked.cfg.filename or 'config.py'))
    if module and module not in names(checked.cfg):
        imports = [*names(checked.cfg), module]
        value = dict(imports=imports, allow_failed_imports=False)
        found = f'{name}, which {module} has'
        fix = assign('custom_imports', value)
        return problem(f'{module} in custom_imports', found, fix=fix, safe=True)
    if not near and part.registry == 'TOKENIZER':
        # mmpretrain registers those of transformers, with its extras only.
        found = f'{name}, a tokenizer of transformers'
        command = 'mim install "mmpretrain[multimodal]"'
        expected = 'what mmpretrain needs for it is installed'
        return problem(expected, found, command=command)
    if not near:
        return problem('a type that is there', unknown=part.type_key)
    if part.registry == ANY and likeness_of(name, near[0]) < _LIKE:
        return None
    classes = list(dict.fromkeys(other.rpartition('.')[2] for other in near))
    safe = is_typo(bare, classes)
    return problem(near, fix=_renamed(part, near[0]), safe=safe)


def _renamed(part: Part, name: str) -> Fix:
    """The type, and what must change with it."""
    statements = [assign(part.type_key, name)]
    out_indices = part.cfg.get('out_indices')
    counted_from_one = part.name.startswith(COUNTED_FROM_ONE)
    if counted_from_one and isinstance(out_indices, (list, tuple)):
        if 4 in out_indices:
            shifted = [index - 1 for index in out_indices]
            statements.append(assign(f'{part.key}.out_indices', shifted))
    return both(statements)
