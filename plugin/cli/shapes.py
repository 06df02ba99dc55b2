"""``shapes``: generate the data set that the ready configs can be tried on."""

from __future__ import annotations

import re
import sys
from contextlib import ExitStack
from pathlib import Path

import click


class _Size(click.ParamType):
    name = 'size'

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r'(\d+)x(\d+)', str(value), re.ASCII)
        if match is None:
            self.fail(f'{value!r} is not height x width, as in 128x160.', param, ctx)
        return int(match[1]), int(match[2])


@click.command(
    epilog="""\b
Examples:
  python -m plugin shapes data/shapes
  python -m plugin shapes data/small --train 64 --val 16 --size 96x128"""
)
@click.argument('out_dir', type=click.Path(path_type=Path))
@click.option('--train', default=512, show_default=True, help='Training images.')
@click.option('--val', default=64, show_default=True, help='Held-out images.')
@click.option(
    '--size',
    type=_Size(),
    metavar='HxW',
    default='128x160',
    show_default=True,
    help='Height and width in pixels.',
)
@click.option('--seed', default=0, show_default=True, help='Other seed, other images.')
@click.option('--force', is_flag=True, help='Replace a data set of other parameters.')
def shapes(
    out_dir: Path,
    train: int,
    val: int,
    size: tuple[int, int],
    seed: int,
    force: bool,
) -> None:
    """Generate the shapes data set into OUT_DIR.

    1 to 4 circles, squares and triangles on textured backgrounds, with COCO
    JSON, semantic masks and classification crops. The same options give the
    same bytes. OUT_DIR appears only when it is complete; one that is there
    with the same options is kept.
    """
    from plugin.demo.shapes import generate

    with ExitStack() as stack:
        bar = None

        def progress(done: int, total: int) -> None:
            nonlocal bar
            if bar is None:
                bar = click.progressbar(
                    length=total, label='Generating shapes', file=sys.stderr
                )
                stack.enter_context(bar)
            bar.update(1)

        try:
            made = generate(
                out_dir, train, val, size, seed, force=force, progress=progress
            )
        except ValueError as error:
            # Here every mistake is one of usage.
            raise click.UsageError(str(error)) from error
        except FileExistsError:
            raise
        except OSError as error:
            reason = error.strerror or error
            raise OSError(f'cannot write to {out_dir}: {reason}') from error
    if made:
        click.echo(f'{train} training and {val} held-out images in {out_dir}')
    else:
        click.echo(f'{out_dir} is already there with these options: kept')
