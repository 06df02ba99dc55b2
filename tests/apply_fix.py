"""A config with a problem's fix applied, beside it."""

import ast
from pathlib import Path

from mmengine.config import Config

from plugin.config.edits import apply_fixes
from plugin.config.problem import Problem


def apply_fix(cfg_path: Path, problem: Problem) -> Path:
    """The dump of the fixed config; of a wrong ``_base_``, its text with the right one.

    Args:
        cfg_path: The config.
        problem: With edits.
    """
    fixed = cfg_path.with_name(f'{cfg_path.stem}_fixed.py')
    if problem.fix[0].path == '_base_':
        fixed.write_text(_with_base(cfg_path.read_text(), problem.in_short))
        return fixed
    cfg = Config.fromfile(str(cfg_path), import_custom_modules=False)
    assert problem.fix, problem
    cfg = apply_fixes(cfg, [problem.fix])
    lines = [f'{name} = {value!r}\n' for name, value in cfg.to_dict().items()]
    fixed.write_text("inf = float('inf')\n" + ''.join(lines))
    return fixed


def _with_base(text: str, fix: str) -> str:
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == '_base_':
            lines = text.splitlines()
            lines[node.lineno - 1 : node.end_lineno] = [fix]
            return '\n'.join(lines) + '\n'
    raise ValueError('the config has no _base_')
