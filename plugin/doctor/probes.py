"""Imports, tried in another process, which may die of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

TIMEOUT = 180.0
"""Seconds for one import: torch from a slow disk may take a minute."""

_ANSWER = 'plugin.doctor: '
# Without the working directory, which no program of mim has on its path. It ends at the
# first that fails: what that one has left half imported would spoil the next.
_CODE = """
import sys
answer_mark, *names = sys.argv[1:]
sys.path[:] = [p for p in sys.path if p]
import importlib, json, traceback
for name in names:
    try:
        module = importlib.import_module(name)
        facts = dict(file=getattr(module, '__file__', None))
        if name == 'torch':
            facts.update(cuda=module.version.cuda, devices=module.cuda.device_count())
        answer = dict(error=None, facts=facts)
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        files = [f.filename for f in frames if '<' not in f.filename]
        answer = dict(error=type(error).__name__, text=str(error), file=files[-1:])
    print('\\n' + answer_mark + json.dumps(answer), flush=True)
    if answer['error']:
        break
"""


@dataclass(frozen=True)
class Probe:
    """The outcome of an import.

    Attributes:
        reason: Why it failed, in one line; None if it went well.
        facts: What the module says of itself.
    """

    reason: str | None
    facts: dict[str, Any] = field(default_factory=dict)


def try_imports(modules: Sequence[str], timeout: float = TIMEOUT) -> dict[str, Probe]:
    """Import ``modules`` with this interpreter, in processes of their own.

    One process as long as all goes well, since they share the most of what they
    import, and a new one after each that fails.

    Args:
        modules: In this order.
        timeout: Seconds for each process.
    """
    found: dict[str, Probe] = {}
    rest = list(modules)
    while rest:
        answers, death = _run(rest, timeout)
        answers = answers or [Probe(death)]
        found.update(zip(rest, answers, strict=False))
        rest = rest[len(answers) :]
    return found


def _run(modules: Sequence[str], timeout: float) -> tuple[list[Probe], str]:
    """Return what a process has answered, and why it has answered no more."""
    try:
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', '-c', _CODE, _ANSWER, *modules],
            # albumentations searches the network for its newest version.
            env={**os.environ, 'NO_ALBUMENTATIONS_UPDATE': '1'},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as expired:
        return _answers(expired.stdout), f'it takes longer than {timeout:g} s'
    except OSError as error:
        return [], f'{sys.executable} cannot be started: {error.strerror}'
    return _answers(done.stdout), _death(done)


def _answers(stdout: bytes | None) -> list[Probe]:
    text = (stdout or b'').decode(errors='replace')
    return [
        _probe(json.loads(line.removeprefix(_ANSWER)))
        for line in text.splitlines()
        if line.startswith(_ANSWER)
    ]


def _probe(answer: dict[str, Any]) -> Probe:
    if answer['error'] is None:
        return Probe(None, answer['facts'])
    text = ' '.join(answer['text'].split())
    text = f'{text[:300]} ...' if len(text) > 300 else text
    place = f' ({_short(answer["file"][0])})' if answer['file'] else ''
    return Probe(f'{answer["error"]}: {text}{place}')


def _death(done: subprocess.CompletedProcess[bytes]) -> str:
    if done.returncode < 0:
        number = -done.returncode
        known = {one.value: one.name for one in signal.Signals}
        return f'the interpreter dies of {known.get(number, f"signal {number}")}'
    lines = done.stderr.decode(errors='replace').strip().splitlines()
    last = lines[-1][:300] if lines else 'no message'
    return f'the interpreter ends with status {done.returncode}: {last}'


def _short(file: str) -> str:
    """Return a file's name from its package on."""
    for folder in sorted(filter(None, sys.path), key=len, reverse=True):
        if file.startswith(folder.rstrip(os.sep) + os.sep):
            return file[len(folder) :].lstrip(os.sep)
    return file
