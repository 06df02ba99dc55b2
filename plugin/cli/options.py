"""Options that several commands have."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import click


class TakesCfgOptions(click.Command):
    """A command whose ``--cfg-options`` takes several ``k=v``, as mmengine's do."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        expanded: list[str] = []
        taking = False
        for arg in args:
            if arg == '--cfg-options':
                taking = True
                continue
            taking = taking and '=' in arg and not arg.startswith('-')
            expanded += ['--cfg-options', arg] if taking else [arg]
        return super().parse_args(ctx, expanded)


def _parse(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict:
    from mmengine.config import DictAction

    options: dict = {}
    for value in values:
        key, equals, text = value.partition('=')
        if not (key and equals):
            raise click.BadParameter(f'{value!r} is not key=value.', ctx, param)
        holder = options
        *outer, last = key.split('.')
        for part in outer:
            holder = holder.setdefault(part, {})
        holder[last] = DictAction._parse_iterable(text)
    return options


def _indices(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    if value is None:
        return None
    try:
        return tuple(int(part) for part in value.strip('()[], ').split(','))
    except ValueError:
        raise click.BadParameter(
            f'{value!r} is not a list of numbers, such as 1,2,3.', ctx, param
        ) from None


out_indices = click.option(
    '--out-indices', callback=_indices, metavar='I,J', help='Feature maps to return.'
)
imports = click.option(
    '--import',
    'imports',
    multiple=True,
    metavar='MODULE',
    help='Module that registers your backbone.',
)
cfg_options = click.option(
    '--cfg-options',
    'options',
    multiple=True,
    metavar='K=V ...',
    callback=_parse,
    help='Arguments of the backbone.',
)


@contextmanager
def libraries_to_stderr() -> Iterator[None]:
    """Send what the libraries print and log to standard error: it is not the answer."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(before)
