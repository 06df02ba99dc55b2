"""``groups``: the optimizer's parameter groups of a config."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from plugin.cli.options import libraries_to_stderr

if TYPE_CHECKING:
    from mmengine.config import Config
    from torch import nn

    from plugin.decay.param_groups import ParamGroup

_NAMES_SHOWN = 8


@click.command(
    epilog="""\b
Examples:
  python -m plugin groups \\
      configs/det/mask-rcnn_convnext-tiny_fpn_8xb2-amp-ms-crop-3x_coco.py
  python -m plugin groups mmdet::retinanet/retinanet_r50_fpn_1x_coco.py --json"""
)
@click.argument('config')
@click.option('--json', 'as_json', is_flag=True, help='One JSON document.')
def groups(config: str, as_json: bool) -> None:
    """Show the optimizer's parameter groups of CONFIG, layer by layer.

    As the first iteration finds them: of any constructor, with what is frozen by
    the backbone or a hook. The model takes no memory. Parameters in no group are
    listed: nothing trains them.
    """
    from plugin.config.reading import read_sound
    from plugin.decay.param_groups import in_no_group, param_groups
    from plugin.measure.optimizer import build_optimizer

    with libraries_to_stderr():
        cfg = read_sound(config)
        model = _model(cfg, config)
        with _quiet():
            built = build_optimizer(cfg, model)
        found = param_groups(model, built.wrapper)
        left_out = in_no_group(model, found)
    if as_json:
        click.echo(json.dumps([asdict(group) for group in found], indent=2))
        for line in _about_left_out(left_out):
            click.echo(line, err=True)
        return
    console = Console(highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 80
    click.echo(config)
    _print(console, f'{built.summary}, {_count(len(found), "group")}', *built.notes)
    _print(console, _table(found), *_about_left_out(left_out))


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the lines that constructors log, one or more for each parameter."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        # mmseg's prints them.
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _model(cfg: Config, config: str) -> nn.Module:
    from plugin.measure.build import build_model

    if not isinstance(cfg.get('model'), Mapping):
        raise ValueError(f'{config} has no model, so nothing to optimize')
    try:
        return build_model(cfg)
    except Exception as error:
        reason = (str(error).splitlines() or [''])[0]
        raise ValueError(
            f'the model of {config} does not build: {type(error).__name__}: {reason}; '
            f'`python -m plugin check {config}` says more'
        ) from error


def _table(groups: Sequence[ParamGroup]) -> Table:
    from plugin.decay.param_groups import by_layer, columns, parts

    rows = by_layer(groups)
    shown = columns(rows)
    if all(row.layer is None for row in rows):
        del shown['layer']
    if not any(row.frozen for row in rows):
        del shown['frozen']
    # With the longest names of a ConvNeXt it must fit 80 columns.
    gap = 1 if 'frozen' in shown else 2
    table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
    for head in shown:
        table.add_column(head.replace(' ', '\n'), justify='right', no_wrap=True)
    table.add_column('in', overflow='fold')
    where = [', '.join(parts(row.names)) for row in rows]
    where.append('' if 'layer' in shown else 'all')
    for cells in zip(*shown.values(), where, strict=True):
        table.add_row(*cells)
    return table


def _print(console: Console, *renderables: str | Table) -> None:
    """Print as rich does, but without spaces at the ends of lines."""
    for one in renderables:
        with console.capture() as printed:
            console.print(one)
        for line in printed.get().splitlines():
            click.echo(line.rstrip())


def _about_left_out(left_out: Mapping[str, tuple[int, bool]]) -> list[str]:
    """Yield lines on the parameters that the optimizer does not have."""
    lines = []
    for frozen, what in (
        (False, 'in no group and not frozen, so that nothing ever trains'),
        (True, 'in no group, and frozen'),
    ):
        names = [name for name, (_, held) in left_out.items() if held is frozen]
        if names:
            elements = sum(left_out[name][0] for name in names)
            more = len(names) - _NAMES_SHOWN
            lines.append(
                f'{what}: {_count(len(names), "tensor")}, {elements:,} parameters: '
                f'{", ".join(names[:_NAMES_SHOWN])}'
                f'{f" and {more} more" if more > 0 else ""}'
            )
    return lines


def _count(number: int, noun: str) -> str:
    return f'{number} {noun}{"" if number == 1 else "s"}'
