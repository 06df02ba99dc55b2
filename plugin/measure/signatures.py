"""What a class or function takes, also through the ``**kwargs`` of a parent."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

from mmengine.registry import MODELS, Registry


@dataclass(frozen=True)
class Signature:
    """Arguments by name.

    Attributes:
        names: All that it takes.
        required: Those that it doesn't work without.
    """

    names: tuple[str, ...]
    required: tuple[str, ...]


def signature_of(target: Callable) -> Signature | None:
    """What ``target`` takes; None if that can't be told from its source.

    Args:
        target: A class or function that a type names.
    """
    try:
        return _signature(target)
    except TypeError:  # Not hashable.
        return None


def default_of(target: Callable, name: str) -> Any:
    """The default of an argument, also of a parent's; None if there is none."""
    for cls in getattr(target, '__mro__', ()):
        init = vars(cls).get('__init__')
        if inspect.isfunction(init):
            parameter = inspect.signature(init).parameters.get(name)
            if parameter is not None and parameter.default is not parameter.empty:
                return parameter.default
    return None


@cache
def _signature(target: Callable) -> Signature | None:
    if not inspect.isclass(target):
        return _of_function(target, skip=0)
    return _of_class(target, target.__mro__)


def _of_class(cls: type, mro: tuple[type, ...]) -> Signature | None:
    """What ``cls(...)`` takes, whose ``__init__`` is the first of those in ``mro``."""
    if type(cls).__call__ is not type.__call__:
        return None  # A metaclass of its own may do anything.
    owners = [c for c in mro if '__init__' in vars(c)]
    if not owners or owners[0] is object:
        # Some libraries put an empty class where an extra is missing.
        return None
    init = vars(owners[0])['__init__']
    if hasattr(init, '__wrapped__'):
        # A decorator may take more: mmcv's gives old names to arguments.
        return None
    own = _of_function(init, skip=1)
    if own is not None:
        return own
    call = _call_of_parent(init)
    if call is None:
        return None
    # `super(A, self)` is about what comes after A, which may be a parent already.
    of = call.func.value.args[0] if call.func.value.args else None
    start = next((c for c in mro if getattr(of, 'id', None) == c.__name__), owners[0])
    parent = _of_class(cls, mro[mro.index(start) + 1 :])
    if parent is None:
        return None
    mine, required = _named(init, skip=1)
    # What is handed on can't be given a second time, unless it is an own argument.
    given = {k.arg for k in call.keywords if k.arg is not None}
    positional = [a for a in call.args if not isinstance(a, ast.Starred)]
    given |= set(parent.names[: len(positional)])
    theirs = [name for name in parent.names if name not in given]
    still = [n for n in parent.required if n not in given and n not in mine]
    return Signature(tuple(dict.fromkeys((*mine, *theirs))), (*required, *still))


def _of_function(function: Callable, skip: int) -> Signature | None:
    """The signature of what has no ``**kwargs``."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return None
    names, required = _named(function, skip)
    return Signature(tuple(names), tuple(required))


def _named(function: Callable, skip: int) -> tuple[list[str], list[str]]:
    parameters = list(inspect.signature(function).parameters.values())[skip:]
    by_name = [
        p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    required = [p.name for p in by_name if p.default is p.empty]
    return [p.name for p in by_name], required


def _call_of_parent(init: Any) -> ast.Call | None:
    """The ``super().__init__`` that ``**kwargs`` go to; None if they go elsewhere."""
    try:
        source = textwrap.dedent(inspect.getsource(init))
        function = ast.parse(source).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return None
    if not isinstance(function, ast.FunctionDef) or function.args.kwarg is None:
        return None
    kwargs = function.args.kwarg.arg
    nodes = list(ast.walk(function))
    uses = [n for n in nodes if isinstance(n, ast.Name) and n.id == kwargs]
    calls = [n for n in nodes if isinstance(n, ast.Call) and _is_super_init(n.func)]
    if len(uses) != 1 or len(calls) != 1:
        return None
    handed = (k.value for k in calls[0].keywords if k.arg is None)
    return calls[0] if any(value is uses[0] for value in handed) else None


def _is_super_init(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr == '__init__'
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == 'super'
    )


def resolve(registry: Registry, type_: Any) -> Any:
    """The class that ``registry`` would build, in the present default scope.

    Args:
        registry: A root registry. Its own ``get`` does not look at the default scope.
        type_: A registered name, or a class, as the pure Python style has it.

    Returns:
        None if the name is not registered.
    """
    if not isinstance(type_, str):
        return type_
    with registry.switch_scope_and_registry(None) as scoped:
        return scoped.get(type_)


def not_registered(key: str, type_: str, registry: Registry) -> str:
    """That ``type_``, which the config has at ``key``, is not in a root registry."""
    for child in registry.children.values():
        child.import_from_location()
    names = list(registry.module_dict)
    for scope, child in registry.children.items():
        names += [f'{scope}.{name}' for name in child.module_dict]
    return f'{key}={type_!r} is not registered{_near(type_, names)}'


def not_taken(key: str, name: str, cls: type) -> str:
    """That ``cls``, which the config has at ``key``, takes no ``name``."""
    return (
        f'{key} has the key {name!r}, which {cls.__name__} does not take'
        f'{_near(name, arguments_of(cls))}'
    )


def arguments_of(cls: type) -> set[str]:
    """What a class takes, with what it hands on to its bases."""
    bases = [base for base in cls.__mro__[:-1] if '__init__' in vars(base)]
    taken = {name for base in bases for name in inspect.signature(base).parameters}
    return taken - {'params', 'args', 'kwargs'}


def _near(name: str, allowed: Iterable[str]) -> str:
    found = get_close_matches(name, sorted(allowed), n=3)
    return f'; did you mean {" or ".join(found)}?' if found else ''


def registered() -> Iterator[tuple[str, type]]:
    """Every type that is registered by now, as a user writes it, and its class."""

    def walk(registry: Registry) -> Iterator[tuple[str, type]]:
        for name, cls in registry.module_dict.items():
            yield f'{registry.scope}.{name}', cls
        for child in registry.children.values():
            yield from walk(child)

    yield from walk(MODELS)
