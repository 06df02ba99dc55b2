"""``check``: what is wrong with configs, before anything is trained."""

from __future__ import annotations

import json
import logging
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from plugin.check import Problem, Report

WIDTH = 80


@click.command(
    epilog="""\b
Examples:
  python -m plugin check configs/seg/upernet_timm-resnet10t_1xb8-1k_shapes.py
  python -m plugin check mmdet::retinanet/retinanet_r50_fpn_1x_coco.py --json"""
)
@click.argument('configs', metavar='CONFIG...', nargs=-1, required=True)
@click.option('--json', 'as_json', is_flag=True, help='One JSON document.')
@click.option('--step', is_flag=True, help='Train for one step too, on the CPU.')
@click.pass_context
def check(
    ctx: click.Context, configs: tuple[str, ...], as_json: bool, step: bool
) -> None:
    """Find what is wrong with each CONFIG, and the line that mends it.

    Reads no data and allocates no weights. CONFIG is a file or a name such as
    mmdet::retinanet/retinanet_r50_fpn_1x_coco.py. Status 1: there are errors.
    """
    from plugin.config.problem import ERROR

    document, status = [], 0
    for config in configs:
        with redirect_stdout(sys.stderr):
            report, failure = _check(ctx, config, step)
        if failure:
            status = 2
            click.echo(f'Error: {failure}', err=True)
        if report is None:
            continue
        problems, not_judged = report.problems, report.not_judged
        if any(problem.severity == ERROR for problem in problems):
            status = max(status, 1)
        entries = [_entry(problem) for problem in problems]
        document.append(dict(config=config, problems=entries, not_judged=not_judged))
        if not as_json:
            click.echo('\n'.join(_report(config, problems, not_judged)))
    if as_json:
        click.echo(json.dumps(document, indent=2))
    ctx.exit(status)


def _entry(problem: Problem) -> dict[str, Any]:
    entry = asdict(problem)
    return {**entry, 'fix': problem.in_short, 'edits': entry['fix']}


def _check(
    ctx: click.Context, config: str, step: bool
) -> tuple[Report | None, str | None]:
    """What there is to say of a config, and why that is not all, or nothing."""
    from plugin.check import NotAConfig, Report, RuleFailed, examine

    def tell(line: str) -> None:
        click.echo(f'{config}: {line}', err=True)

    try:
        with _quiet():
            return examine(config, step, tell), None
    except Exception as error:
        if ctx.find_root().params.get('debug'):
            traceback.print_exc()
        if isinstance(error, NotAConfig):
            return None, str(error)
        if isinstance(error, OSError) and error.strerror:
            return None, f'{error.filename or config}: {error.strerror}'
        if isinstance(error, RuleFailed):
            return Report(error.problems, []), f'{config}: {error}'
        return None, f'{config}: {type(error).__name__}: {error}'
    except SystemExit as error:
        return None, f'{config}: user code has called sys.exit({error.code!r})'


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the libraries say of each other: it is no news about a config."""
    level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(level)


def _report(
    config: str, problems: list[Problem], not_judged: list[str]
) -> Iterable[str]:
    from plugin.config.problem import SEVERITIES

    yield f'{config}'
    for problem in problems:
        yield ''
        yield f'{problem.severity}: {problem.kind}: {problem.key}'
        yield from _wrapped('found', problem.found)
        yield from _wrapped('expected', problem.expected)
        # On a line of its own, however long, to be copied.
        yield '  fix:'
        yield problem.in_short
    counts = {
        severity: sum(problem.severity == severity for problem in problems)
        for severity in SEVERITIES
    }
    if problems:
        yield ''
        yield ', '.join(
            f'{count} {severity}{"" if count == 1 else "s"}'
            for severity, count in counts.items()
            if count
        )
    else:
        yield 'no problems'
    for line in not_judged:
        yield from wrap(f'not judged: {line}', WIDTH, subsequent_indent=' ' * 12)


def _wrapped(name: str, value: Any) -> list[str]:
    text = value if isinstance(value, str) else repr(value)
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        text = ', '.join(value)  # Names to choose from, not a value to write.
    # What is no character to be seen may move the cursor, or worse.
    text = ''.join(c if c.isprintable() or c == '\n' else repr(c)[1:-1] for c in text)
    return wrap(
        text,
        WIDTH,
        initial_indent=f'  {name:8}  ',
        subsequent_indent=' ' * 12,
        break_on_hyphens=False,
    ) or [f'  {name:8}  {text!r}']
