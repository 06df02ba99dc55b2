"""Apply the fix that ``check`` prints, as a user would who copies it."""

import ast
from collections.abc import MutableMapping
from pathlib import Path

from mmengine.config import Config


def apply_fix(cfg_path: Path, fix: str) -> Path:
    """A config beside ``cfg_path`` in which the statements of ``fix`` are executed.

    It is the dump of the loaded config and inherits nothing, save for a ``_base_=``,
    which is put into the text of the config as it is.
    """
    if fix.startswith('$ '):
        raise NotImplementedError(f'a command is not a change of the config: {fix}')
    fixed = cfg_path.with_name(f'{cfg_path.stem}_fixed.py')
    if fix.startswith('_base_='):
        fixed.write_text(_with_base(cfg_path.read_text(), fix))
        return fixed
    cfg = Config.fromfile(str(cfg_path), import_custom_modules=False)
    exec(fix, {'__builtins__': {}}, _Statements(cfg))
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


class _Statements(MutableMapping):
    """The names of a config as the variables of a statement."""

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg._cfg_dict

    def __getitem__(self, name):
        return self.cfg[name]

    def __setitem__(self, name, value):
        self.cfg[name] = value

    def __delitem__(self, name):
        del self.cfg[name]

    def __iter__(self):
        return iter(self.cfg)

    def __len__(self):
        return len(self.cfg)
