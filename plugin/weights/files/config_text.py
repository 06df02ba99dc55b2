"""Config texts that a checkpoint carries, and that mmengine executes as Python."""

from __future__ import annotations

import ast
import sys

# mmengine 0.10.7 (config/config.py): these are not settings but its own attributes.
# `dict` is what its dumps are made of, `read_base` what makes them inherit.
_NO_SETTINGS = frozenset(
    ('filename', 'text', 'pretty_text', 'env_variables', 'dict', 'read_base')
)
# A dump of a config has some 10,000 characters. For a text of this length mmengine
# takes about a second, and in proportion.
_LONGEST = 1 << 18


def plain_settings(text: object) -> tuple[str | None, list[str]]:
    """The settings of a config text that are safe to execute.

    These are assignments of numbers, texts and containers of them to names that mean
    nothing to mmengine. What inherits (``_base_``), deprecates (``_deprecation_``) or
    imports is left out; ``custom_imports`` is kept where every module of it has been
    imported already, and importing it again runs nothing.

    Args:
        text: As mmengine has dumped it, or as anybody has written it.

    Returns:
        The text, None if nothing is left of it; and the names of what is left out.
    """
    if not isinstance(text, str):
        return None, [type(text).__name__]
    if len(text) > _LONGEST:
        return None, [f'all of its {len(text):,} characters']
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None, ['all of it: it is not Python']
    kept, dropped = [], []
    for statement in statements:
        if _is_setting(statement):
            kept.append(statement)
        else:
            dropped.append(_name(statement))
    if not dropped and '{{' not in text:
        return text, []
    # mmengine replaces {{...}}, in comments too, which are gone from here on.
    lines = [ast.unparse(statement) for statement in kept]
    dropped += [line.partition(' = ')[0] for line in lines if '{{' in line]
    text = '\n'.join(line for line in lines if '{{' not in line)
    return text or None, dropped


def _is_setting(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.Assign):
        return False
    names = [t.id for t in statement.targets if isinstance(t, ast.Name)]
    if len(names) < len(statement.targets) or not all(map(_is_free, names)):
        return False
    try:
        value = _value(statement.value)
    except (_NotPlain, TypeError, RecursionError):
        return False
    return 'custom_imports' not in names or _imports_nothing(value)


def _is_free(name: str) -> bool:
    return not name.startswith('_') and name not in _NO_SETTINGS


def _imports_nothing(value: object) -> bool:
    """Whether mmengine finds all modules of this ``custom_imports`` imported."""
    if not isinstance(value, dict) or not value.keys() <= {
        'imports',
        'allow_failed_imports',
    }:
        return False
    modules = value.get('imports')
    modules = [modules] if isinstance(modules, str) else modules
    return isinstance(modules, list) and all(
        isinstance(module, str) and sys.modules.get(module) is not None
        for module in modules
    )


class _NotPlain(Exception):
    """An expression is more than a literal."""


def _value(node: ast.expr) -> object:
    """Evaluate numbers, texts, containers of them, and calls of ``dict`` alone.

    Raises:
        _NotPlain: It is something else.
        TypeError: Executing it would raise this.
    """
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
        if isinstance(node.op, ast.USub):
            return -node.operand.value
        if isinstance(node.op, ast.UAdd):
            return +node.operand.value
    elif isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    elif isinstance(node, ast.Tuple):
        return tuple(_value(item) for item in node.elts)
    elif isinstance(node, ast.Set):
        return {_value(item) for item in node.elts}
    elif isinstance(node, ast.Dict) and None not in node.keys:
        keys, values = map(_value, node.keys), map(_value, node.values)
        return dict(zip(keys, values, strict=True))
    elif isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id == 'dict' and not node.args:
            settings = {}
            for keyword in node.keywords:
                value = _value(keyword.value)
                # mmengine's dumps write a key that is no name as dict(**{'a-b': 1}).
                settings = dict(
                    **settings, **({keyword.arg: value} if keyword.arg else value)
                )
            return settings
    raise _NotPlain


def _name(statement: ast.stmt) -> str:
    if isinstance(statement, ast.Assign):
        names = [t.id for t in statement.targets if isinstance(t, ast.Name)]
        if names:
            return names[0]
    kind = type(statement).__name__
    return f'{kind} in line {statement.lineno}'
