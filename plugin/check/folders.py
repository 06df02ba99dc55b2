"""The configs in a folder."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

# Pieces that others inherit from, and what holds no configs of the user's.
_PASSED_OVER = {
    *('_base_', 'site-packages', 'node_modules', 'work_dirs', 'data'),
    *('build', 'dist', '__pycache__'),
}


def configs_in(folder: Path) -> Iterator[Path]:
    """Find the configs below a folder, in order.

    Args:
        folder: The folder. Hidden folders, and those that are named ``_base_``, are
            passed over; links to folders are not followed.
    """
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if name not in _PASSED_OVER and not name.startswith('.')
        )
        for name in sorted(files):
            path = Path(place) / name
            if path.suffix == '.py' and is_config(path):
                yield path


def is_config(path: Path) -> bool:
    """Return whether a Python file looks like a config, without running it.

    It does if it has a ``_base_`` or ``read_base()`` at the top level, or a ``model``
    that is a dict: a ``model`` that is called for may be that of a script.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False
    return any(map(_tells, tree.body))


def _tells(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.With):
        calls = [item.context_expr for item in statement.items]
        return any(
            isinstance(call, ast.Call) and getattr(call.func, 'id', '') == 'read_base'
            for call in calls
        )
    if not isinstance(statement, ast.Assign):
        return False
    names = {getattr(target, 'id', '') for target in statement.targets}
    return '_base_' in names or ('model' in names and _is_dict(statement.value))


def _is_dict(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return getattr(value.func, 'id', '') == 'dict'
    return isinstance(value, ast.Dict)
