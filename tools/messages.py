"""Writes docs/messages.md: what users read when something is wrong.

    python tools/messages.py                  run the tests that provoke messages
    python tools/messages.py --only Weights   the same for one section of the page
    python tools/messages.py --check          exit status 1 if it is out of date

The inputs are the tests' own. The configs of tests/check/broken_configs.py are checked
here, one after another. Of the other tests it keeps the errors that they expect, what a
command prints when it refuses, and warnings in the log. The slow tests are left out.
"""

from __future__ import annotations

import argparse
import difflib
import json
import logging
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / 'docs/messages.md'
# heading: folders or files of tests
SECTIONS = {
    'Configs that cannot be read': ['check/test_hostile_configs.py', 'config'],
    'The commands': ['probe', 'cli', 'swap/test_refusals.py'],
    'The contract of a backbone': ['necks', 'test_testing.py'],
    'Freezing': ['freezing'],
    'Layer decay': ['decay'],
    'Weights': [
        f'weights/test_{name}.py'
        for name in ('safe_loading', 'sources', 'prefix', 'usable', 'audit', 'changes')
    ],
    'Environments': ['doctor'],
}
# It starts processes.
LEFT_OUT = ['freezing/test_unfreeze_ddp.py']
BROKEN = 'Configs that are wrong'
LONGEST = 700
HEAD = """# Messages

What users read when something is wrong, as printed for the inputs of the tests. Written
by `python tools/messages.py`; paths are shortened.
"""


class Recorder:
    """A plugin of pytest that keeps messages, test by test.

    Attributes:
        found: File of tests: its messages, in order and once each.
    """

    def __init__(self) -> None:
        self.found: dict[str, dict[str, None]] = {}
        self._file = ''

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._file = item.nodeid.partition('::')[0]
        return (yield)

    def keep(self, text: str) -> None:
        if self._file and text.strip():
            messages = self.found.setdefault(self._file, {})
            messages.setdefault(shortened(text.strip()))

    def __enter__(self) -> Recorder:
        """Observe pytest.raises, the commands and the log until the block ends."""
        self._patch = pytest.MonkeyPatch()
        self._observe_raises()
        self._observe_commands()
        self._observe_log()
        self._observe_doctor()
        return self

    def __exit__(self, *_: object) -> None:
        self._patch.undo()

    def _observe_raises(self) -> None:
        leave = pytest.RaisesExc.__exit__

        def observed(
            block: Any, kind: Any, error: Any, trace: TracebackType | None
        ) -> Any:
            matched = leave(block, kind, error, trace)
            if matched and is_ours(trace):
                self.keep(str(error))
            return matched

        self._patch.setattr(pytest.RaisesExc, '__exit__', observed)

    def _observe_commands(self) -> None:
        from click.testing import CliRunner

        invoke = CliRunner.invoke

        def observed(runner: CliRunner, *args: Any, **kwargs: Any) -> Any:
            result = invoke(runner, *args, **kwargs)
            if result.exit_code:
                lines = result.stderr.splitlines()
                starts = [n for n, x in enumerate(lines) if x.startswith('Error: ')]
                self.keep('\n'.join(lines[starts[0] :]) if starts else '')
            return result

        self._patch.setattr(CliRunner, 'invoke', observed)

    def _observe_log(self) -> None:
        handle = logging.Logger.handle

        def observed(logger: logging.Logger, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING and called_by_us():
                self.keep(f'{record.levelname.lower()}: {record.getMessage()}')
            handle(logger, record)

        self._patch.setattr(logging.Logger, 'handle', observed)

    def _observe_doctor(self) -> None:
        start = subprocess.run

        def observed(*args: Any, **kwargs: Any) -> subprocess.CompletedProcess:
            done = start(*args, **kwargs)
            text = done.stdout if isinstance(done.stdout, str) else ''
            if text.lstrip().startswith('{') and '"findings"' in text:
                for finding in json.loads(text)['findings']:
                    if finding['status'] != 'ok':
                        what = (finding[key] for key in ('status', 'name', 'found'))
                        lines = [': '.join(what)]
                        for key in ('expected', 'fix'):
                            if finding[key]:
                                lines.append(f'  {key:<10}{finding[key]}')
                        self.keep('\n'.join(lines))
            return done

        self._patch.setattr(subprocess, 'run', observed)


def is_ours(trace: TracebackType | None) -> bool:
    """Return whether the innermost frame of a traceback is of this project."""
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code.co_filename.startswith(
        (f'{ROOT}/plugin/', f'{ROOT}/mmcv-lite-ops/')
    )


def called_by_us() -> bool:
    """Return whether this project, and not a library that it calls, is logging."""
    frame = sys._getframe(2)
    while re.search(r'/logging/|/warnings\.py$', frame.f_code.co_filename):
        frame = frame.f_back
    return frame.f_code.co_filename.startswith(f'{ROOT}/plugin/')


def shortened(text: str) -> str:
    """Return a message without what differs from run to run, and not too long."""
    text = text.replace(f'{ROOT}/', '').replace(str(ROOT), 'mm-backbone-plugin')
    text = re.sub(r'\S*?/site-packages/', '', text)
    text = re.sub(rf'{re.escape(tempfile.gettempdir())}/[^\s\'":,;]*/', '', text)
    text = re.sub(r'0x[0-9a-f]{6,}', '0x...', text)
    text = re.sub(r'(127\.0\.0\.1):\d{4,5}', r'\1:PORT', text)
    text = re.sub(r'\b[0-9a-f]{8}-(?=\w)', 'HASH-', text)
    text = re.sub(r'\b[0-9a-f]{40,64}\b', '<digest>', text)
    text = re.sub(r'\.[\w.-]+-\d+-[0-9a-f]{8}\.partial', '', text)
    text = re.sub(r'\b(tmp|pytest)[\w-]{6,}', 'FOLDER', text)
    text = re.sub(r'\b\d+(\.\d+)? (GiB|MB|GB|KiB|MiB|s|minutes)\b', r'N \2', text)
    return text if len(text) <= LONGEST else f'{text[:LONGEST]} ...'


def of_broken_configs() -> Iterator[str]:
    """Yield the report on each config of tests/check/broken_configs.py."""
    from broken_configs import BROKEN

    from plugin.check import examine
    from plugin.check.report import as_text

    for broken in BROKEN:
        with tempfile.TemporaryDirectory() as folder:
            broken.write(Path(folder), ROOT)
            sys.path.insert(0, folder)
            before = os.getcwd()
            os.chdir(folder)
            try:
                text = as_text(examine('config.py'))
            finally:
                os.chdir(before)
                sys.path.remove(folder)
                for name in ('own_net', 'my_net'):
                    sys.modules.pop(name, None)
        yield shortened(text.partition('\n\n')[2].rstrip())


def section(heading: str) -> str:
    """Return one section of the page, from its heading to the next.

    Its tests run in a process of their own, so that each section is the same whatever
    ran before it.
    """
    if heading == BROKEN:
        messages = list(of_broken_configs())
    else:
        messages = recorded(SECTIONS[heading])
    return '\n'.join([f'## {heading}\n', *map(fenced, messages)])


def recorded(names: list[str]) -> list[str]:
    tests = [f'{ROOT}/tests/{name}' for name in names]
    options = [f'--ignore={ROOT}/tests/{name}' for name in LEFT_OUT]
    arguments = ['-q', '-n', '0', '-p', 'no:cacheprovider']
    arguments += ['-m', 'not slow and not wide']
    with Recorder() as recorder:
        status = pytest.main([*arguments, *options, *tests], plugins=[recorder])
    if status:
        sys.exit('error: a test failed; only messages of tests that pass are kept.')
    return [text for found in recorder.found.values() for text in found]


def sections(text: str) -> dict[str, str]:
    """Return the sections of a page by their headings."""
    parts = re.split(r'^(?=## )', text, flags=re.M)[1:]
    return {part.splitlines()[0].removeprefix('## '): part for part in parts}


def fenced(text: str) -> str:
    return f'```text\n{text.replace("```", "`` `")}\n```\n'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--check', action='store_true')
    parser.add_argument('--only', choices=[BROKEN, *SECTIONS], metavar='HEADING')
    parser.add_argument('--print', choices=[BROKEN, *SECTIONS], help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault('OMP_NUM_THREADS', '1')
    if args.print:
        sys.path[:0] = [str(ROOT), str(ROOT / 'tests'), str(ROOT / 'tests/check')]
        with tempfile.NamedTemporaryFile('w', delete=False) as file:
            file.write(section(args.print))
        print(f'\n{file.name}')
        return 0
    known = PAGE.read_text() if PAGE.exists() else ''
    found = sections(known)
    for heading in [args.only] if args.only else [BROKEN, *SECTIONS]:
        found[heading] = run(heading)
    order = [heading for heading in (BROKEN, *SECTIONS) if heading in found]
    text = '\n'.join([HEAD, *(found[heading].rstrip('\n') + '\n' for heading in order)])
    if args.check:
        changes = difflib.unified_diff(known.splitlines(), text.splitlines(), n=0)
        changed = '\n'.join(changes)
        if changed:
            print(
                f'{changed}\n{PAGE.name} is out of date; run python tools/messages.py'
            )
        return int(bool(changed))
    PAGE.write_text(text)
    print(f'wrote {PAGE.name}: {text.count("```text")} messages')
    return 0


def run(heading: str) -> str:
    """Return a section, made by a process of its own."""
    command = [sys.executable, __file__, '--print', heading]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f'{done.stdout[-3000:]}\n{done.stderr[-3000:]}')
    path = Path(done.stdout.splitlines()[-1])
    text = path.read_text()
    path.unlink()
    return text


if __name__ == '__main__':
    sys.exit(main())
