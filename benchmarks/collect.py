"""Runs the benchmarks of this folder, and writes what they print to README.md.

    python benchmarks/collect.py [--only operators ...] [--quick] [--device cpu]

A benchmark that ends in an error is named at the end, and its part of README.md stays
as it was; so do those of benchmarks that are not run. On a GPU those run that compare
there, and have parts of their own.
"""

from __future__ import annotations

import argparse
import datetime
import re
import subprocess
import sys
from pathlib import Path

from timing import add_device

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
# Those that a GPU is for; its steps are short, and more of them cost little.
ON_A_GPU = {
    'convnext': ['--runs', '31'],
    'operators': [],
    'optimizer_groups': [],
    'frozen_stages': ['--runs', '31'],
    'training_step': ['--runs', '31'],
    'adapters': ['--runs', '31'],
}
HEAD = """# Benchmarks

Written by `make bench`, which runs each of these commands and keeps what it prints.
On a GPU `python benchmarks/collect.py --device cuda` does so.
What is compared takes turns in one process; the ratio is the median of those of the
turns, and the milliseconds are of the machine that is named.
"""


def parts(text: str) -> dict[str, str]:
    """The part of each benchmark in a README, by its name."""
    found = re.split(r'^## (.+)\n', text, flags=re.M)[1:]
    return dict(zip(found[::2], found[1::2], strict=True))


def heading(name: str, device: str) -> str:
    """Return the heading of a benchmark's part in the README."""
    return f'{name} on a GPU' if device == 'cuda' else name


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
    add_device(parser)
    args = parser.parse_args()
    on_a_gpu = args.device == 'cuda'
    names = args.only or (ON_A_GPU if on_a_gpu else BENCHMARKS)
    if on_a_gpu and not ON_A_GPU.keys() >= set(names):
        parser.error(f'--only: on a GPU there are {", ".join(ON_A_GPU)}')
    failed = []
    for name in names:
        print(name, flush=True)
        options = BENCHMARKS[name] if args.quick else []
        if on_a_gpu:
            options = ['--device', 'cuda', *(options or ON_A_GPU[name])]
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
        known[heading(name, args.device)] = part(name, options, done.stdout)
        # Written after each, since all of them take hours.
        README.write_text(
            HEAD
            + ''.join(
                f'\n## {title}\n{known[title].rstrip()}\n'
                for device in ('cpu', 'cuda')
                for title in (heading(n, device) for n in BENCHMARKS)
                if title in known
            )
        )
    for name in failed:
        print(f'error: benchmarks/{name}.py has failed; its part is as it was')
    return int(bool(failed))


if __name__ == '__main__':
    sys.exit(main())
