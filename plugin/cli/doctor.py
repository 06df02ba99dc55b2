"""``doctor``: whether what is installed works together."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import asdict

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from plugin.doctor import ERROR, OK, STATUSES, Diagnosis, Finding, diagnose

_STYLES = {'ok': 'green', 'warning': 'yellow', 'error': 'red'}


@click.command(
    epilog="""\b
Examples:
  python -m plugin doctor
  python -m plugin doctor --json"""
)
@click.option('--json', 'as_json', is_flag=True, help='One JSON document.')
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Explain the environment: versions, what clashes, and how to fix it.

    Works where nothing else can be imported. The imports of the libraries are
    tried in processes of their own, which takes most of the time. Status 1:
    something will break.
    """
    progress = Console(stderr=True)
    with (
        progress.status('Importing what is installed')
        if progress.is_terminal
        else nullcontext()
    ):
        diagnosis = diagnose()
    if as_json:
        click.echo(json.dumps(asdict(diagnosis), indent=2))
    else:
        _show(diagnosis)
    ctx.exit(any(finding.status == ERROR for finding in diagnosis.findings))


def _show(diagnosis: Diagnosis) -> None:
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 80
    installed = [f'{name} {v}' for name, v in diagnosis.versions.items() if v]
    _print(console, ', '.join(installed))
    click.echo()
    _print(console, _table(diagnosis.findings))
    click.echo()
    counts = []
    for status in STATUSES:
        count = sum(finding.status == status for finding in diagnosis.findings)
        counts.append(f'{count} {status}{"" if status == OK or count == 1 else "s"}')
    click.echo(', '.join(counts))
    fixes = dict.fromkeys(f.fix for f in _worst_first(diagnosis.findings) if f.fix)
    if fixes:
        click.echo('\nTo fix it:')
    for fix in fixes:
        # Not wrapped: it is there to be copied.
        click.echo(f'  $ {fix}')


def _table(findings: Iterable[Finding]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow='fold')
    for finding in _worst_first(findings):
        expected = f'wanted: {finding.expected}' if finding.expected else ''
        if expected and finding.status == OK:
            expected = f'({finding.expected})'
        separator = ' ' if finding.status == OK else '\n'
        table.add_row(
            Text(finding.status, _STYLES[finding.status]),
            finding.name,
            f'{finding.found}{separator}{expected}'.rstrip(),
        )
    return table


def _worst_first(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda f: -STATUSES.index(f.status))


def _print(console: Console, what: str | Table) -> None:
    """Print as rich does, but without spaces at the ends of lines."""
    with console.capture() as printed:
        console.print(what)
    for line in printed.get().splitlines():
        click.echo(line.rstrip())
