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
    from plugin.check import Problem

WIDTH = 80


@click.command(
    epilog="""\b
Examples:
  python -m plugin check configs/seg/upernet_timm-resnet10t_1xb8-1k_shapes.py
  python -m plugin check mmdet::retinanet/retinanet_r50_fpn_1x_coco.py --json"""
)
@click.argument('configs', metavar='CONFIG...', nargs=-1, required=True)
@click.option('--json', 'as_json', is_flag=True, help='One JSON document.')
@click.pass_context
def check(ctx: click.Context, configs: tuple[str, ...], as_json: bool) -> None:
    """Find what is wrong with each CONFIG, and the line that mends it.

    Reads no data and allocates no weights. CONFIG is a file or a name such as
    mmdet::retinanet/retinanet_r50_fpn_1x_coco.py. Status 1: there are errors.
    """
    from plugin.config.problem import ERROR

    document, status = [], 0
    for config in configs:
        with redirect_stdout(sys.stderr):
            problems, failure = _check(ctx, config)
        if failure:
            status = 2
            click.echo(f'Error: {failure}', err=True)
        if problems is None:
            continue
        if any(problem.severity == ERROR for problem in problems):
            status = max(status, 1)
        entries = [_entry(problem) for problem in problems]
        document.append(dict(config=config, problems=entries))
        if not as_json:
            click.echo('\n'.join(_report(config, problems)))
    if as_json:
        click.echo(json.dumps(document, indent=2))
    ctx.exit(status)


def _entry(problem: Problem) -> dict[str, Any]:
    entry = asdict(problem)
    return {**entry, 'fix': problem.in_short, 'edits': entry['fix']}


def _check(ctx: click.Context, config: str) -> tuple[list[Problem] | None, str | None]:
    """The problems of a config, and why it could not be read or checked to the end."""
    from plugin.check import NotAConfig, RuleFailed
    from plugin.check import check as run

    try:
        with _quiet():
            return run(config), None
    except Exception as error:
        if ctx.find_root().params.get('debug'):
            traceback.print_exc()
        if isinstance(error, NotAConfig):
            return None, str(error)
        if isinstance(error, OSError) and error.strerror:
            return None, f'{error.filename or config}: {error.strerror}'
        if isinstance(error, RuleFailed):
            return error.problems, f'{config}: {error}'
        return None, f'{config}: {type(error).__name__}: {error}'


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


def _report(config: str, problems: list[Problem]) -> Iterable[str]:
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


def _wrapped(name: str, value: Any) -> list[str]:
    text = value if isinstance(value, str) else repr(value)
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        text = ', '.join(value)  # Names to choose from, not a value to write.
    return wrap(
        text,
        WIDTH,
        initial_indent=f'  {name:8}  ',
        subsequent_indent=' ' * 12,
        break_on_hyphens=False,
    ) or [f'  {name:8}  {text!r}']
