"""Find what a class or function takes, also by the ``**kwargs`` of a parent."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Signature:
    """Arguments by name.

    Attributes:
        names: All that it takes.
        required: Those that it doesn't work without.
        defaults: Of the others, by name.
        exact: Whether it takes no more than ``names``; else it has ``**kwargs`` that
            go where its source does not show.
    """

    names: tuple[str, ...]
    required: tuple[str, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict, compare=False)
    exact: bool = field(default=True, compare=False)

    def may_take(self, name: str) -> bool:
        """Return whether it takes an argument, as far as that is known."""
        return name in self.names or not self.exact


def signature_of(target: Callable) -> Signature | None:
    """Return what ``target`` takes; None if its source does not show it.

    Args:
        target: A class or function that a type names.
    """
    found = arguments_of(target)
    return found if found.exact else None


def arguments_of(target: Callable) -> Signature:
    """Return what ``target`` takes, as far as that is known.

    If it is not known where its ``**kwargs`` go, those of its parents count as taken.

    Args:
        target: A class or function that a type names.
    """
    try:
        return _signature(target)
    except TypeError:  # Not hashable.
        return _UNKNOWN


def default_of(target: Callable, name: str) -> Any:
    """Return the default of an argument, also of a parent's; None if there is none."""
    return arguments_of(target).defaults.get(name)


_UNKNOWN = Signature((), (), exact=False)


@cache
def _signature(target: Callable) -> Signature:
    if not inspect.isclass(target):
        return _own(target, skip=0)
    return _of_class(target, target.__mro__)


def _of_class(cls: type, mro: tuple[type, ...]) -> Signature:
    """What ``cls(...)`` takes, whose ``__init__`` is the first of those in ``mro``."""
    owners = [c for c in mro if '__init__' in vars(c)]
    # Some libraries put an empty class where an extra is missing.
    if not owners or owners[0] is object:
        return _UNKNOWN
    init = vars(owners[0])['__init__']
    own = _own(init, skip=1)
    # A metaclass of its own may do anything, and a decorator may take more: mmcv's
    # gives old names to arguments.
    odd = type(cls).__call__ is not type.__call__ or hasattr(init, '__wrapped__')
    if own.exact:
        return replace(own, exact=not odd)
    call = _call_of_parent(init)
    if call is None or odd:
        others = _of_class(cls, mro[mro.index(owners[0]) + 1 :])
        return _joined(own, others, given=(), exact=False)
    # `super(A, self)` is about what comes after A, which may be a parent already.
    of = call.func.value.args[0] if call.func.value.args else None
    start = next((c for c in mro if getattr(of, 'id', None) == c.__name__), owners[0])
    parent = _of_class(cls, mro[mro.index(start) + 1 :])
    # What is passed on cannot be given a second time, unless it is an own argument.
    given = {k.arg for k in call.keywords if k.arg is not None}
    positional = [a for a in call.args if not isinstance(a, ast.Starred)]
    given |= set(parent.names[: len(positional)])
    return _joined(own, parent, given, parent.exact)


def _joined(
    own: Signature, parent: Signature, given: Collection[str], exact: bool
) -> Signature:
    """Return ``own`` with what its ``**kwargs`` pass on to ``parent``.

    Args:
        own: Of a class.
        parent: Of its parent.
        given: What the parent is given already.
        exact: Whether nothing else is taken.
    """
    theirs = [name for name in parent.names if name not in given]
    names = tuple(dict.fromkeys((*own.names, *theirs)))
    still = [n for n in parent.required if n in theirs and n not in own.names]
    defaults = {n: v for n, v in parent.defaults.items() if n in theirs}
    # What a parent is given is not known, and so not what it lacks.
    required = (*own.required, *still) if exact else own.required
    return Signature(names, required, {**defaults, **own.defaults}, exact)


def _own(function: Callable, skip: int) -> Signature:
    """Return a function's own arguments; exact if it has no ``**kwargs``."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return _UNKNOWN
    by_name = [
        p
        for p in parameters[skip:]
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    return Signature(
        tuple(p.name for p in by_name),
        tuple(p.name for p in by_name if p.default is p.empty),
        {p.name: p.default for p in by_name if p.default is not p.empty},
        not any(p.kind is p.VAR_KEYWORD for p in parameters),
    )


def _call_of_parent(init: Any) -> ast.Call | None:
    """Return the ``super().__init__`` that gets ``**kwargs``; None if none does."""
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
