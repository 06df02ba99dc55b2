"""What ``check`` prints, used exactly as it is printed."""

from __future__ import annotations

import re
import shlex
from argparse import ArgumentParser
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config, DictAction

from plugin.check import Examined, examine
from plugin.check.report import as_text
from plugin.config.edits import apply_fixes
from plugin.config.overrides import without_scope
from plugin.config.reading import load


@dataclass
class Printed:
    """How one problem is fixed, as the report says it.

    Attributes:
        hunks: Lines of the file that change: the line that they begin at, and the
            lines with ``-`` and ``+``.
        lines: For the end of the file or of a child of it.
        child_only: Whether the report says that only a child takes them.
        options: ``--cfg-options ...``.
    """

    hunks: list[tuple[int, list[str]]] = field(default_factory=list)
    lines: str = ''
    child_only: bool = False
    options: str = ''


def parsed(report: str) -> list[Printed]:
    """The fixes in a report, problem by problem."""
    found: list[Printed] = []
    waiting = ''
    for line in report.splitlines():
        if re.match(r'\S+: (error|warning): \w+: ', line):
            found.append(Printed())
            waiting = ''
        elif match := re.match(r'  (fix|and)  +in .*, line (\d+) \(', line):
            found[-1].hunks.append((int(match[2]), []))
            waiting = 'hunk'
        elif re.match(r'  fix  +at the end of', line):
            found[-1].child_only = 'a config that inherits from it' not in line
            waiting = 'lines' if line.endswith(':') else 'colon'
        elif waiting == 'colon':
            found[-1].child_only &= 'from it' not in line
            waiting = 'lines' if line.endswith(':') else 'colon'
        elif line == '  or, for one training:':
            waiting = 'options'
        elif waiting == 'options':
            found[-1].options, waiting = line, ''
        elif not line or line.startswith('   '):
            waiting = waiting if waiting == 'lines' and line else ''
            if waiting:
                found[-1].lines += f'{line}\n'
        elif waiting == 'hunk':
            found[-1].hunks[-1][1].append(line)
        elif waiting == 'lines':
            found[-1].lines += f'{line}\n'
    return found


def fixed_by(path: Path, printed: Printed) -> Path:
    """A config beside ``path`` with a fix where the report says that it goes."""
    out = path.with_name(f'{path.stem}_fixed.py')
    text = path.read_text()
    if printed.hunks:
        out.write_text(_with_hunks(text, printed.hunks))
    elif printed.child_only:
        out.write_text(_child(path, printed.lines))
    else:
        assert printed.lines, printed
        out.write_text(text + printed.lines)
    return out


def used(path: Path, found: Examined) -> Path:
    """A config fixed as the report on its only problem says.

    All other ways that are printed lead to the same config, which this checks.
    """
    (problem,) = found.problems
    (printed,) = parsed(as_text(found))
    fixed = fixed_by(path, printed)
    if found.cfg is None:
        assert not printed.options
        return fixed
    wanted = apply_fixes(found.cfg, [problem.fix])
    _same(load(fixed), wanted)
    if printed.lines and not printed.child_only:
        child = path.with_name(f'{path.stem}_child.py')
        child.write_text(_child(path, printed.lines))
        _same(load(child), wanted)
    if printed.options:
        parser = ArgumentParser()
        parser.add_argument('--cfg-options', nargs='+', action=DictAction)
        words = shlex.split(printed.options)
        changed = load(path)
        changed.merge_from_dict(parser.parse_args(words).cfg_options)
        _same(changed, wanted)
    return fixed


def examined(path: Path) -> Examined:
    """What ``check`` finds in a config; no rule may fail."""
    found = examine(str(path))
    assert found.failures == []
    return found


def _with_hunks(text: str, hunks: list[tuple[int, list[str]]]) -> str:
    lines = text.splitlines()
    for start, hunk in hunks:
        old = [line[1:] for line in hunk if line.startswith('-')]
        assert lines[start - 1 : start - 1 + len(old)] == old
        new = [line[1:] for line in hunk if line.startswith('+')]
        lines[start - 1 : start - 1 + len(old)] = new
    return '\n'.join(lines) + '\n'


def _child(path: Path, lines: str) -> str:
    if Config._is_lazy_import(str(path)):
        head = 'from mmengine.config import read_base\nwith read_base():\n'
        return f'{head}    from .{path.stem} import *\n{lines}'
    return f'_base_ = {f"./{path.name}"!r}\n{lines}'


def _same(one: Config, other: Config) -> None:
    scope = other.get('default_scope')
    found, wanted = (without_scope(cfg._cfg_dict, scope) for cfg in (one, other))
    for name in {*found, *wanted}:
        # A variable whose definition changed is used by no one else.
        if name in found and name in wanted and _is_entry(name):
            assert found[name] == wanted[name], name


def _is_entry(name: str) -> bool:
    return name.endswith(
        ('model', 'loader', 'hooks', 'wrapper', '_cfg', 'imports')
    ) or (
        name in ('load_from', 'default_scope', 'param_scheduler', 'data_preprocessor')
    )
