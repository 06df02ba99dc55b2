"""``align``: a backbone's features beside those of a timm model."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path

import click


@click.command(
    epilog="""\b
Examples:
  python -m plugin align my.py --reference timm:resnet50 --checkpoint a.pth
  python -m plugin align my.py --reference timm:vit_tiny_patch16_224 \\
      --checkpoint converted.pth --images photos"""
)
@click.argument('config')
@click.option(
    '--reference', required=True, metavar='timm:NAME', help='The model to compare with.'
)
@click.option(
    '--checkpoint', required=True, metavar='FILE', help='Weights for the backbone.'
)
@click.option(
    '--reference-checkpoint', metavar='FILE', help='Weights for the reference.'
)
@click.option(
    '--images',
    type=click.Path(path_type=Path),
    metavar='DIR',
    help="Images for the config's test pipeline.",
)
@click.option('--num', default=4, show_default=True, help='Images to take from DIR.')
@click.option(
    '--tolerance',
    default=1e-4,
    show_default=True,
    help='Largest difference, by the largest element.',
)
@click.option('--json', 'as_json', is_flag=True, help='One JSON document.')
@click.pass_context
def align(
    ctx: click.Context,
    config: str,
    reference: str,
    checkpoint: str,
    reference_checkpoint: str | None,
    images: Path | None,
    num: int,
    tolerance: float,
    as_json: bool,
) -> None:
    """Compare a config's backbone with a timm model, map by map.

    Without images it is done on a random input. Status 1: beyond the tolerance.
    """
    from plugin.align.alignment import align as run

    with redirect_stdout(sys.stderr):
        found = run(config, reference, checkpoint, images, reference_checkpoint, num)
    aligned = found.largest <= tolerance
    if as_json:
        maps = [{**asdict(m), 'relative': m.relative} for m in found.maps]
        # JSON has no infinity: no output of that shape is null.
        for entry in maps:
            entry.update({k: None for k in entry if entry[k] == float('inf')})
        document = {**asdict(found), 'maps': maps, 'aligned': aligned}
        click.echo(json.dumps(document, indent=2))
        ctx.exit(0 if aligned else 1)
    click.echo(f'{config} beside {reference}, on {found.inputs}')
    click.echo(f'weights: {checkpoint}; of the reference: {found.reference_weights}')
    if found.pipelines is not None:
        click.echo(f"input: {found.pipelines:.2e} between the config's and timm's own")
    elif images is not None:
        click.echo("input: the config's and timm's own differ in size")
    own = found.pipelines is not None
    click.echo(
        f'{"map":>3} {"channels":>8} {"stride":>6}  {"difference":>10} {"relative":>8}'
        + (f' {"own inputs":>10}' if own else '')
        + '  nearest output'
    )
    for i, entry in enumerate(found.maps):
        click.echo(
            f'{i:>3} {entry.channels:>8} {entry.stride:>6}  {entry.largest:>10.2e} '
            f'{entry.relative:>8.1e}'
            + (f' {entry.own_inputs:>10.2e}' if own else '')
            + f'  {entry.module or "none of this shape"}'
        )
    click.echo(
        f'largest difference: {max(m.largest for m in found.maps):.2e}, '
        + ('aligned' if aligned else f'beyond the tolerance of {tolerance:g}')
    )
    ctx.exit(0 if aligned else 1)
