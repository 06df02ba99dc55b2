"""Types that no registry has, in any part of a config."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmengine.config.utils import MODULE2PACKAGE

from plugin.check.checked_config import CheckedConfig
from plugin.check.rule import Rule
from plugin.check.rules.types.names import (
    likeness_of,
    module_with,
    nearest_types,
    source_with,
)
from plugin.config.imports import imported_for_others, names, not_imported
from plugin.config.parts import ANY, Part
from plugin.config.problem import ERROR, Fix, Problem, assign, both
from plugin.libraries import BY_SCOPE, COUNTED_FROM_ONE, SCOPES, SUCCESSORS
from plugin.nearest import is_typo

# Where the place does not say which registry is asked, a type that is like none is
# taken for a name that some class looks up itself.
_LIKE = 0.75


def types(checked: CheckedConfig) -> Iterator[Problem]:
    """Yield each type that does not resolve, with what to write."""
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
    """Return whether a type's fix is only the nearest name, so the rest may not fit."""
    if problem.kind != 'registry' or not isinstance(problem.expected, list):
        return False
    return likeness_of(str(problem.found), problem.expected[0]) < _LIKE


def _may_be_missing(part: Part, checked: CheckedConfig) -> bool:
    """Return whether a failed import, already reported, may register a type."""
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
    """Return one problem for all types that one package would bring."""
    first, others = problems[0], len(problems) - 1
    if not others:
        return first
    return replace(first, found=f'{first.found}; {others} more of its types are used')


def ours_imported(checked: CheckedConfig, scope: str) -> bool:
    """Return whether a config imports the package that registers ours in ``scope``."""
    if scope not in BY_SCOPE:
        return False
    package = BY_SCOPE[scope].package
    return any(
        name == package or name.startswith(f'{package}.') or _mentions(name, package)
        for name in names(checked.cfg)
    )


def _mentions(module: str, package: str) -> bool:
    """Return whether a module of the user's imports ``package`` itself."""
    if module.partition('.')[0] in ('plugin', *SCOPES):
        return False
    try:
        spec = find_spec(module)
        text = Path(spec.origin).read_text(encoding='utf-8')
    except Exception:
        return False
    return package in text or f'import {package.rpartition(".")[2]}' in text


def _needs_our_import(part: Part, checked: CheckedConfig) -> bool:
    """Return whether it is one of ours, named as if it were the library's."""
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
        f'{first.name} is registered only after {package} is imported'
        + (f'; also {others}' if others else ''),
        f'{package} in custom_imports, or plugin.{first.name}',
        assign('custom_imports', dict(imports=imports, allow_failed_imports=False)),
        safe=True,
    )


def _only_for_others(part: Part, theirs: frozenset[str]) -> bool:
    """Return whether only a config that was checked before imported its class."""
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
    """Return the type, and what must change with it."""
    statements = [assign(part.type_key, name)]
    out_indices = part.cfg.get('out_indices')
    counted_from_one = part.name.startswith(COUNTED_FROM_ONE)
    if counted_from_one and isinstance(out_indices, (list, tuple)):
        if 4 in out_indices:
            shifted = [index - 1 for index in out_indices]
            statements.append(assign(f'{part.key}.out_indices', shifted))
    return both(statements)


RULE = Rule(
    name='types',
    finds='A `type` that no registry has, anywhere in the config.',
    why='Building stops there, with a message that names the registry and not what is'
    ' near.',
    example="_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"
    "model = dict(backbone=dict(type='ResNett'))",
    fix='Write the nearest type, with the scope of the library that has it; import '
    'the module that registers it; install the package that has it. Safe: a scope'
    ' or an import that is missing, what took over from a class of 1.x, and a '
    'name that can only be a misspelling. Unsafe: the nearest of several.',
    look=types,
    first=True,
)
