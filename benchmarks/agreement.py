"""Whether ``check`` says what a real training step says, over changed upstream configs.

    python benchmarks/agreement.py [--limit N] [--seed 0] [--results FILE]

Each config is judged by ``check``, by ``check --step``, and by a training step that
shares no code with them (``real_step.py``). A config is called wrong if there is an
error, warnings aside; a config that trains but leaves a map unused, has its priors in
other strides than the maps, or counts other classes than its data, is wrong as well.
What was judged is kept in a file of one line a config, and not judged again: it can be
stopped at any time and goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from changed_configs import CHANGES, Case, cases  # noqa: E402
from real_step import verdict  # noqa: E402

from plugin.check import RuleFailed, examine  # noqa: E402
from plugin.config.names import load_config  # noqa: E402

RESULTS = HERE / 'agreement.jsonl'
OUTCOMES = ('rightly wrong', 'rightly clean', 'missed', 'false alarm')


def judge(case: Case, folder: Path) -> dict[str, Any]:
    """The three verdicts on one config.

    Args:
        case: The config.
        folder: Where it is written.
    """
    path = folder / 'config.py'
    path.write_text(case.source, encoding='utf-8')
    begin = time.process_time()
    problems, not_judged = _problems(path, step=False)
    middle = time.process_time()
    with_step, step_not_judged = _problems(path, step=True)
    end = time.process_time()
    real = verdict(str(path), class_count(case.base))
    return dict(
        base=case.base,
        change=case.change,
        text=case.text,
        trains=real.trains,
        reason=real.reason,
        static=problems,
        step=with_step,
        not_judged=[*not_judged, *(n for n in step_not_judged if n not in not_judged)],
        static_seconds=round(middle - begin, 1),
        step_seconds=round(end - middle, 1),
    )


def _problems(path: Path, step: bool) -> tuple[list[str], list[str]]:
    """The errors of a config in short, and what could not be judged."""
    try:
        report = examine(str(path), step=step)
    except RuleFailed as failure:
        return [f'FAILED: {failure}'], []
    errors = [
        f'{p.key}: {p.found}'[:200] for p in report.problems if p.severity == 'error'
    ]
    return errors, report.not_judged


def class_count(base: str) -> int:
    """Classes of the data that the heads of an upstream config are for."""
    model = load_config(base).model.to_dict()
    model = model.get('detector', model)
    numbers = [n for n in _numbers(model) if n > 1]
    return Counter(numbers).most_common(1)[0][0]


def _numbers(node: Any) -> Iterable[int]:
    if isinstance(node, Mapping):
        for name, child in node.items():
            if name in ('num_classes', 'num_things_classes') and isinstance(child, int):
                yield child
            elif name not in ('rpn_head', 'semantic_head', 'backbone', 'neck'):
                yield from _numbers(child)
    elif isinstance(node, (list, tuple)):
        for child in node:
            yield from _numbers(child)


def outcome(result: Mapping[str, Any], way: str) -> str:
    """One of ``OUTCOMES`` for a result.

    Args:
        result: From :func:`judge`.
        way: ``static`` or ``step``.
    """
    if result[way]:
        return 'false alarm' if result['trains'] else 'rightly wrong'
    return 'rightly clean' if result['trains'] else 'missed'


def table(results: list[Mapping[str, Any]]) -> str:
    """How often each outcome came, by change."""
    width = max(map(len, (*CHANGES, 'nothing')))
    lines = []
    for way, name in (('static', 'check'), ('step', 'check --step')):
        lines.append(f'{name:{width}}  ' + '  '.join(OUTCOMES))
        for change in ('nothing', *CHANGES, 'all'):
            chosen = [r for r in results if change in (r['change'], 'all')]
            counts = Counter(outcome(r, way) for r in chosen)
            cells = (f'{counts[o]:{len(o)}}' for o in OUTCOMES)
            lines.append(f'{change:{width}}  ' + '  '.join(cells))
        right = counts['rightly wrong'] + counts['rightly clean']
        share = right / len(results) if results else 0
        lines += [f'{right} of {len(results)} right, {share:.1%}', '']
    return '\n'.join(lines)


def read_results(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text('utf-8').splitlines()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--limit', type=int, help='of so many configs')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--results', type=Path, default=RESULTS)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter('ignore')

    wanted = cases(args.seed)[: args.limit]
    done = {(r['base'], r['text']): r for r in read_results(args.results)}
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(wanted, start=1):
            if (case.base, case.text) in done:
                continue
            result = judge(case, Path(folder))
            done[case.base, case.text] = result
            with args.results.open('a', encoding='utf-8') as file:
                file.write(json.dumps(result) + '\n')
            told = ', '.join(f'{w} {outcome(result, w)}' for w in ('static', 'step'))
            line = f'{number} of {len(wanted)}: {case.base}, {case.change}: {told}'
            print(line, file=sys.stderr, flush=True)
    chosen = [done[case.base, case.text] for case in wanted]
    print(table(chosen))
    for result in chosen:
        for way in ('static', 'step'):
            found = outcome(result, way)
            if found in ('missed', 'false alarm'):
                what = result['reason'] if found == 'missed' else result[way]
                print(f'{way}: {found}: {result["base"]}: {result["text"]}: {what}')


if __name__ == '__main__':
    main()
