"""``check --fix``: fix after fix in the text of a config, until none is left."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from plugin.check import examine
from plugin.config.fixing import Done, Left, go_over, refusal
from plugin.config.names import config_path
from plugin.config.problem import Problem
from plugin.config.workbench import workbench

# What a fix uncovers has another fix, and so on; more rounds than this go in a circle.
_ROUNDS = 10


@dataclass
class Fixed:
    """A config that was fixed in memory.

    Attributes:
        path: Its file, which was not written.
        before: What is in it.
        after: What it should be.
        done: Problems whose fixes are in ``after``.
        left: Those whose fixes can't be.
    """

    path: Path
    before: bytes
    after: bytes
    done: list[Done] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)


def fix(
    config: str,
    unsafe: bool = False,
    select: Collection[str] | None = None,
    ignore: Collection[str] = (),
    step: bool = False,
) -> Fixed:
    """Make the fixes of a config, in memory.

    Args:
        config: A path, or a name in an installed package, whose files are not edited.
        unsafe: Make unsafe fixes too.
        select: As for :func:`plugin.check.examine`.
        ignore: Likewise.
        step: Likewise.

    Raises:
        OSError: There is no such file.
        NotAConfig: It is no config.
    """
    path = config_path(config)
    contents = path.read_bytes()
    result = Fixed(path, contents, contents)
    reason = refusal(path)
    if reason:
        found = examine(config, select, ignore, step).problems
        result.left = [Left(p, reason) for p in found if _is_meant(p, unsafe)]
        return result
    with workbench(path) as bench:
        for _ in range(_ROUNDS):
            bench.write(result.after)
            found = examine(str(bench.path), select, ignore, step).problems
            reported = [(left.problem.key, left.problem.fix) for left in result.left]
            meant = [p for p in found if _is_meant(p, unsafe)]
            meant = [p for p in meant if (p.key, p.fix) not in reported]
            went = go_over(bench, result.after, meant)
            result.done += went.done
            result.left += went.left
            if went.contents == result.after:
                break
            result.after = went.contents
    return result


def diff(fixed: Fixed, name: str) -> str:
    """Return the change of a config as a unified diff, which ``patch`` takes.

    Args:
        fixed: The change.
        name: Of the file, in the head of the diff.
    """
    old, new = (lines_of(contents) for contents in (fixed.before, fixed.after))
    lines = difflib.unified_diff(old, new, name, name)
    return ''.join(
        line if line.endswith('\n') else f'{line}\n\\ No newline at end of file\n'
        for line in lines
    )


def lines_of(contents: bytes) -> list[str]:
    """Return the lines of a file, each with its end."""
    return re.findall(r'[^\n]*\n|[^\n]+', contents.decode())


def _is_meant(problem: Problem, unsafe: bool) -> bool:
    return bool(problem.fix) and (problem.safe or unsafe)
