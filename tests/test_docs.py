"""Every command in the pages prints what they show."""

import re
import shlex

import pytest
from click.testing import CliRunner
from pages import PAGES, ROOT, blocks, files, name

from plugin.cli import main

pytestmark = pytest.mark.slow

# doctor's output is of an environment that is broken on purpose.
COMMAND = re.compile(
    r'\$ python -m plugin ((?:probe|check|swap|groups|rule|test) (?:.*\\\n)*.*)\n'
)
FILES = {file: text for page in PAGES for file, text in files(page.read_text()).items()}


def shown():
    """(command, output) of each block that is a command and what it printed."""
    found = {}
    for page in PAGES:
        for language, block in blocks(page.read_text()):
            command = COMMAND.match(block) if language == 'console' else None
            if command and block[command.end() :].strip():
                line = command[1].replace('\\\n', ' ')
                # A translation shows the same once more.
                found.setdefault((line, block[command.end() :]), name(page))
    for (line, output), page in found.items():
        yield pytest.param(line, output, id=f'{page}: {line}')


@pytest.mark.parametrize(('command', 'output'), list(shown()))
def test_the_output_is_as_shown(command, output, tmp_path, monkeypatch):
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    for file, text in FILES.items():
        (tmp_path / file).write_text(text)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, shlex.split(command))
    # A refusal has nothing on standard output.
    assert (result.stdout or result.stderr) == output, result.stderr
