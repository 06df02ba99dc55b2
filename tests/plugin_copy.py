"""A copy of ``plugin/`` to add something to, and its commands."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# All commands in one process: they import the same.
_RUN = """
import json, sys
from click.testing import CliRunner
import plugin
from plugin.cli import main

answers = {'plugin': plugin.__file__}
for name, args in json.loads(sys.argv[1]).items():
    done = CliRunner().invoke(main, args)
    answers[name] = dict(code=done.exit_code, out=done.stdout, err=done.stderr)
print(json.dumps(answers), file=sys.stderr)
"""


def copy_plugin(folder: Path) -> Path:
    """Copy ``plugin/`` into ``folder``, and return that."""
    ignored = shutil.ignore_patterns('__pycache__')
    shutil.copytree(ROOT / 'plugin', folder / 'plugin', ignore=ignored)
    return folder


def insert(path: Path, after: str, text: str) -> None:
    """Put ``text`` behind ``after``, which must stand in the file once."""
    before = path.read_text()
    assert before.count(after) == 1, (path, after)
    path.write_text(before.replace(after, f'{after}{text}'))


def write_all(folder: Path, files: dict[str, str]) -> None:
    """Write files by their names, and make the folder."""
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text.lstrip())


def run_commands(
    python: str, folder: Path, commands: dict[str, list[str]]
) -> dict[str, dict]:
    """Run the commands of a copy, and return what came of each by its name."""
    done = subprocess.run(
        [python, '-W', 'ignore', '-c', _RUN, json.dumps(commands)],
        cwd=folder,
        env={**os.environ, 'PYTHONPATH': str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stderr.splitlines()[-1])
    assert found.pop('plugin') == str(folder / 'plugin/__init__.py')
    return found
