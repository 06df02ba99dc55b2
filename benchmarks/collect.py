"""Runs the benchmarks of this folder, and writes what they print to README.md.

    python benchmarks/collect.py [--only operators ...] [--quick]

A benchmark that ends in an error is named at the end, and its part of README.md stays
as it was; so do those of benchmarks that are not run.
"""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
README = FOLDER / 'README.md'
# Those that compare times; each has arguments that make it short.
BENCHMARKS = {
    'construction': ['resnet50', '--runs', '3'],
    'convnext': ['--quick'],
    'operators': ['--runs', '3'],
    'optimizer_groups': ['--steps', '5'],
    'frozen_stages': ['--size', '64', '--runs', '3'],
    'training_step': ['--quick', '--runs', '3'],
    'check': [],
    'scale': ['--runs', '3', '--steps', '2'],
    'adapters': ['--quick', '--runs', '3'],
}
HEAD = """# Benchmarks

Written by `make bench`, which runs each of these commands and keeps what it prints.
What is compared takes turns in one process; the ratio is the median of those of the
turns, and the milliseconds are of the machine that is named.
"""


def parts(text: str) -> dict[str, str]:
    """The part of each benchmark in a README, by its name."""
    found = re.split(r'^## (\w+)\n', text, flags=re.M)[1:]
    return dict(zip(found[::2], found[1::2], strict=True))


def part(name: str, options: list[str], printed: str) -> str:
    """Return what stands below the heading of a benchmark that has printed this."""
    title = (FOLDER / f'{name}.py').read_text().partition('"""')[2].partition('\n')[0]
    command = ' '.join(['python', f'benchmarks/{name}.py', *options])
    today = datetime.date.today().isoformat()
    lines = printed.strip().splitlines()
    # A break after each of the lines on the machine and the versions.
    lines[:1] = [line + '  ' for line in lines[:1]]
    body = '\n'.join(lines)
    return f'\n{title}\n\n`{command}`, {today}\n\n{body}\n\n'


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--only', nargs='+', choices=BENCHMARKS, default=[])
    parser.add_argument('--quick', action='store_true', help='small and few')
    args = parser.parse_args()
    failed = []
    for name in args.only or BENCHMARKS:
        print(name, flush=True)
        options = BENCHMARKS[name] if args.quick else []
        done = subprocess.run(
            [sys.executable, '-W', 'ignore', f'benchmarks/{name}.py', *options],
            cwd=FOLDER.parent,
            stdout=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            failed.append(name)
            continue
        known = parts(README.read_text()) if README.exists() else {}
        known[name] = part(name, options, done.stdout)
        # Written after each, since all of them take hours.
        README.write_text(
            HEAD
            + ''.join(
                f'\n## {n}\n{known[n].rstrip()}\n' for n in BENCHMARKS if n in known
            )
        )
    for name in failed:
        print(f'error: benchmarks/{name}.py has failed; its part is as it was')
    return int(bool(failed))


if __name__ == '__main__':
    sys.exit(main())
