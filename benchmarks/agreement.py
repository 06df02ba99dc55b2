"""Whether ``check`` says what a real training step says, over changed upstream configs.

    python benchmarks/agreement.py [--limit N] [--seed 0] [--results FILE]
        [--again WORDS [--all-again]] [--only-print] [--page]

Each config is judged by ``check``, by ``check --step``, and by a training step that
shares no code with them (``real_step.py``). A config is called wrong if there is an
error, warnings aside; a config that trains but leaves a map unused, has its priors in
other strides than the maps, or counts other classes than its data, is wrong as well.
``--step`` adds a step to what ``check`` does, so it only runs where that found nothing.

What was judged is kept in a file of one line a config, and not judged again: it can be
stopped at any time and goes on where it was. After a change of ``check``, ``--again``
judges those whose base, change or outcome holds WORDS once more (``missed``, say), with
the verdict of the real step kept, unless ``--all-again`` asks for that as well.

``--page`` writes the figures of all that was judged into docs/agreement.md.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import re
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

RESULTS = HERE / 'results/agreement.jsonl'
PAGE = HERE.parent / 'docs/agreement.md'
_FIGURES = re.compile('(?<=<!-- figures -->\n).*(?=<!-- end of figures -->)', re.S)
OUTCOMES = ('rightly wrong', 'rightly clean', 'missed', 'false alarm')
# A package that the model needs is not here, so the real step says nothing.
UNKNOWN = 'unknown'


def judge(
    case: Case, folder: Path, known: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The three verdicts on one config.

    Args:
        case: The config.
        folder: Where it is written.
        known: An earlier result, whose verdict of the real step is taken.
    """
    path = folder / 'config.py'
    path.write_text(case.source, encoding='utf-8')
    begin = time.process_time()
    problems, not_judged = _problems(path, step=False)
    middle = time.process_time()
    with_step = problems
    if not problems:
        with_step, more = _problems(path, step=True)
        not_judged = list(dict.fromkeys([*not_judged, *more]))
    end = time.process_time()
    if known is None:
        real = verdict(str(path), class_count(case.base))
        known = dict(trains=real.trains, reason=real.reason, known=real.known)
    return dict(
        base=case.base,
        change=case.change,
        text=case.text,
        trains=known['trains'],
        reason=known['reason'],
        known=known.get('known', True),
        static=problems,
        step=with_step,
        not_judged=not_judged,
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
    """One of ``OUTCOMES`` for a result, or ``UNKNOWN``.

    Args:
        result: From :func:`judge`.
        way: ``static`` or ``step``.
    """
    if not result.get('known', True):
        return UNKNOWN
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


def figures(wanted: list[Case], done: Mapping[tuple[str, str], Any]) -> str:
    """Return how many were judged and how often rightly, in Markdown.

    Args:
        wanted: All cases.
        done: From :func:`read_results`.
    """
    found = [done[c.base, c.text] for c in wanted if (c.base, c.text) in done]
    judged = [r for r in found if outcome(r, 'step') != UNKNOWN]
    wrong = sum(not r['trains'] for r in judged)
    left = len(wanted) - len(found)
    lines = [
        f'{len(judged)} of the {len(wanted)} were judged; {wrong} do not train',
        f'or leave something unused. {len(found) - len(judged)} more are of PAA, which',
        f'needs scikit-learn; {left} were not run.',
        '',
        '| change | configs | `check` | `check --step` |',
        '|---|---:|---|---|',
    ]
    for change in ('nothing', *CHANGES, 'all'):
        chosen = [r for r in judged if change in (r['change'], 'all')]
        cells = (_cell(chosen, way, change == 'all') for way in ('static', 'step'))
        lines.append(f'| {change} | {len(chosen)} | {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def _cell(results: list[Mapping[str, Any]], way: str, share: bool) -> str:
    counts = Counter(outcome(r, way) for r in results)
    right = counts['rightly wrong'] + counts['rightly clean']
    others = [
        f'{counts[kind]} {words}'
        for kind, words in (('missed', 'missed'), ('false alarm', 'called wrong'))
        if counts[kind]
    ]
    if share:
        text = f'**{right} of {len(results)} right, {right / len(results):.1%}**'
    else:
        text = f'{right} right' if others else 'all right'
    return ', '.join([text, *others])


def write_page(text: str) -> None:
    """Write the figures into the page."""
    page = PAGE.read_text('utf-8')
    assert _FIGURES.search(page), 'the page has no place for them'
    PAGE.write_text(_FIGURES.sub(lambda _: text, page), encoding='utf-8')


def read_results(path: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The last result of each config, by its base and its text."""
    if not path.is_file():
        return {}
    results = map(json.loads, path.read_text('utf-8').splitlines())
    return {(r['base'], r['text']): r for r in results}


def _is_meant(result: Mapping[str, Any], words: str | None) -> bool:
    outcomes = [outcome(result, way) for way in ('static', 'step')]
    known = [result['base'], result['change'], result['reason'], *outcomes]
    return words is not None and any(words in text for text in known)


def _disagreements(results: list[Mapping[str, Any]]) -> Iterable[str]:
    for result in results:
        for way in ('static', 'step'):
            found = outcome(result, way)
            if found in ('missed', 'false alarm'):
                what = result['reason'] if found == 'missed' else result[way]
                yield f'{way}: {found}: {result["base"]}: {result["text"]}: {what}'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('--limit', type=int, help='of so many configs')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--results', type=Path, default=RESULTS)
    parser.add_argument('--again', metavar='WORDS', help='judge these once more')
    parser.add_argument('--all-again', action='store_true', help='and the real step')
    parser.add_argument('--only-print', action='store_true', help='judge nothing')
    parser.add_argument('--page', action='store_true', help='write docs/agreement.md')
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter('ignore')

    wanted = cases(args.seed)[: args.limit]
    done = read_results(args.results)
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(wanted, start=1):
            known = done.get((case.base, case.text))
            if args.only_print or (known and not _is_meant(known, args.again)):
                continue
            result = judge(case, Path(folder), None if args.all_again else known)
            done[case.base, case.text] = result
            gc.collect()  # Models are in circles of references.
            with args.results.open('a', encoding='utf-8') as file:
                file.write(json.dumps(result) + '\n')
            judged = ', '.join(f'{w} {outcome(result, w)}' for w in ('static', 'step'))
            line = f'{number} of {len(wanted)}: {case.base}, {case.change}: {judged}'
            print(line, file=sys.stderr, flush=True)
    found = [done.get((case.base, case.text)) for case in wanted]
    judged = [result for result in found if result is not None]
    chosen = [r for r in judged if outcome(r, 'step') != UNKNOWN]
    without = len(judged) - len(chosen)
    print(f'{len(chosen)} of {len(wanted)} configs, {without} more need a package')
    print(f'\n{table(chosen)}')
    print(*_disagreements(chosen), sep='\n')
    if args.page:
        write_page(figures(cases(args.seed), done))


if __name__ == '__main__':
    main()
