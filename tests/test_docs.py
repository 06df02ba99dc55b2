"""What the documents show of a command is what it prints."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from plugin.cli import main

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
# doctor's output is of an environment that is broken on purpose.
COMMAND = re.compile(
    r'\$ python -m plugin ((?:probe|check|swap|groups|rule) (?:.*\\\n)*.*)\n'
)
FILES = dict(
    re.findall(
        r'\n`(\w+\.py)`\n\n```python\n(.*?)```', (ROOT / 'README.md').read_text(), re.S
    )
)


def shown():
    """(command, output) of each block that is a command and what it printed."""
    for path in (ROOT / 'README.md', ROOT / 'docs/commands.md'):
        for block in re.findall(r'```console\n(.*?)```', path.read_text(), re.S):
            command = COMMAND.match(block)
            if command:
                line = command[1].replace('\\\n', ' ')
                yield pytest.param(
                    line, block[command.end() :], id=f'{path.stem}: {line}'
                )


@pytest.mark.parametrize(('command', 'output'), list(shown()))
def test_the_output_is_as_shown(command, output, tmp_path, monkeypatch):
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, shlex.split(command))
    # A refusal has nothing on standard output.
    assert (result.stdout or result.stderr) == output, result.stderr
