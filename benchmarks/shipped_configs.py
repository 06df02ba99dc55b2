"""``check`` over all configs that the installed libraries ship: what it calls wrong.

    python benchmarks/shipped_configs.py [--limit N] [--seed 0] [--work FILE]

An error is a package that is missing here, which ``check`` names in a command; a
mistake of the library, which docs/upstream_faults.md lists; or else a false alarm. The
configs come in a shuffled order, so that any first part of them is of all kinds. What
was checked is kept in a file of one line a config, and not checked again. What is not
clean in the end is written to results/shipped_configs.jsonl.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import random
import re
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from plugin.check import NotAConfig, examine  # noqa: E402
from plugin.config.problem import ERROR  # noqa: E402
from plugin.libraries import SCOPES  # noqa: E402
from plugin.measure.shipped import shipped  # noqa: E402

FAULTS = ROOT / 'docs/upstream_faults.md'
RESULTS = ROOT / 'benchmarks/results/shipped_configs.jsonl'
WORK = ROOT / 'work_dirs/shipped_configs.jsonl'


@dataclass(frozen=True)
class Fault:
    """A row of docs/upstream_faults.md.

    Attributes:
        config: Name of a config, or a pattern of several.
        rule: The rule that finds what is wrong; ``not-a-config`` if it cannot be read.
    """

    config: str
    rule: str

    def is_of(self, config: str, rule: str) -> bool:
        """Return whether it says that ``rule`` finds something in ``config``."""
        return rule == self.rule and fnmatchcase(config, self.config)


def faults() -> list[Fault]:
    """Return the known mistakes of the libraries' own configs, in their order."""
    row = re.compile(r'^\| `(\w+::[^`]+)` \| `([\w-]+)` \|', re.M)
    return [Fault(*found.groups()) for found in row.finditer(FAULTS.read_text('utf-8'))]


def names(seed: int | None = None) -> list[str]:
    """Return the names of all configs; pieces of configs are left out.

    Args:
        seed: Of the order in which they are shuffled; None for that of their names.
    """
    found = []
    for library in SCOPES:
        root = shipped(library)
        for path in sorted(root.rglob('*.py')) if root else []:
            name = path.relative_to(root)
            if '_base_' not in name.parts and '.mim' not in name.parts:
                found.append(f'{library}::{name.as_posix()}')
    if seed is not None:
        random.Random(seed).shuffle(found)
    return found


def errors(config: str) -> list[dict[str, Any]]:
    """Return what ``check`` calls wrong: rule, key, what is found, what to install."""
    try:
        report = examine(config)
    except NotAConfig as error:
        # Where the packages are installed on this machine says nothing.
        found = re.sub(r'/\S*?site-packages/?', '', str(error))
        return [dict(rule='not-a-config', key='', found=found, install='')]
    failed = [dict(rule='failed', key='', found=f, install='') for f in report.failures]
    problems = [problem for problem in report.problems if problem.severity == ERROR]
    return failed + [
        dict(rule=p.rule, key=p.key, found=str(p.found)[:200], install=p.command)
        for p in problems
    ]


def unknown(config: str, found: Sequence[dict], known: Sequence[Fault]) -> list[dict]:
    """Return the errors that neither a missing package nor a known fault explains."""
    return [
        error
        for error in found
        if not error['install'].startswith(('pip', 'mim'))
        and not any(fault.is_of(config, error['rule']) for fault in known)
    ]


def kind_of(config: str, found: Sequence[dict], known: Sequence[Fault]) -> str:
    """Return what the errors of one config are, in words."""
    if not found:
        return 'clean'
    if unknown(config, found, known):
        return 'not explained'
    faulty = any(fault.is_of(config, e['rule']) for e in found for fault in known)
    return 'known fault' if faulty else 'missing package'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--limit', type=int, help='of so many configs')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--work', type=Path, default=WORK, help='what is checked')
    parser.add_argument('--again', action='store_true', help='those with errors')
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter('ignore')

    known, wanted = faults(), names(args.seed)[: args.limit]
    args.work.parent.mkdir(parents=True, exist_ok=True)
    lines = args.work.read_text('utf-8').splitlines() if args.work.exists() else []
    done = {one['config']: one['errors'] for one in map(json.loads, lines)}
    for config in wanted:
        if config in done and not (args.again and done[config]):
            continue
        done[config] = errors(config)
        gc.collect()  # Models are in circles of references.
        with args.work.open('a', encoding='utf-8') as file:
            file.write(json.dumps(dict(config=config, errors=done[config])) + '\n')
        for error in unknown(config, done[config], known):
            print(config, *error.values(), file=sys.stderr, flush=True)
    kinds = Counter(kind_of(config, done[config], known) for config in wanted)
    for kind, count in kinds.most_common():
        print(f'{count:5} {kind}')
    if args.limit is None:
        results = [
            json.dumps(dict(config=c, kind=kind_of(c, done[c], known), errors=done[c]))
            for c in sorted(wanted)
            if done[c]
        ]
        RESULTS.write_text('\n'.join(results) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
