"""``check`` over the configs that the installed libraries ship: what it calls wrong.

    python benchmarks/shipped_configs.py [--limit N] [--seed 0] [--results FILE]

Each error is a mistake of the library, a package that is missing here, or a false
alarm, which only reading the source can tell; docs/upstream_faults.md has the first.
The configs come in a shuffled order, so that any first part of them is of all kinds.
What was checked is kept in a file of one line a config, and not checked again.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import warnings
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from plugin.check import NotAConfig, examine  # noqa: E402
from plugin.config.problem import ERROR  # noqa: E402
from plugin.libraries import SCOPES  # noqa: E402
from plugin.measure.shipped import shipped  # noqa: E402

RESULTS = HERE / 'results/shipped_configs.jsonl'


def names(seed: int = 0) -> list[str]:
    """Names of all configs, in a shuffled order; pieces of configs are left out."""
    found = []
    for library in SCOPES:
        root = shipped(library)
        for path in sorted(root.rglob('*.py')) if root else []:
            name = path.relative_to(root)
            if '_base_' not in name.parts and '.mim' not in name.parts:
                found.append(f'{library}::{name.as_posix()}')
    random.Random(seed).shuffle(found)
    return found


def errors(config: str) -> list[str]:
    """What ``check`` calls wrong, in short."""
    try:
        report = examine(config)
    except NotAConfig as error:
        return [f'no config: {error}']
    failed = [f'FAILED: {failure}' for failure in report.failures]
    problems = [p for p in report.problems if p.severity == ERROR]
    return [*failed, *(f'{p.rule}: {p.key}: {p.found}'[:200] for p in problems)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--limit', type=int, help='of so many configs')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--results', type=Path, default=RESULTS)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter('ignore')

    wanted = names(args.seed)[: args.limit]
    lines = (
        args.results.read_text('utf-8').splitlines() if args.results.exists() else []
    )
    done = {one['config']: one['errors'] for one in map(json.loads, lines)}
    for config in wanted:
        if config in done:
            continue
        done[config] = errors(config)
        with args.results.open('a', encoding='utf-8') as file:
            file.write(json.dumps(dict(config=config, errors=done[config])) + '\n')
        for error in done[config]:
            print(f'{config}: {error}', file=sys.stderr, flush=True)
    wrong = [config for config in wanted if done[config]]
    print(f'{len(wanted)} configs, errors in {len(wrong)}')


if __name__ == '__main__':
    main()
