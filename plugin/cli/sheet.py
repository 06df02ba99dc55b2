"""``sheet``: a contact sheet of held-out images, ground truth beside predictions."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

import click


@click.command(
    epilog="""\b
Examples:
  python -m plugin sheet my.py work_dirs/run/epoch_12.pth -o sheet.png
  python -m plugin sheet my.py best.pth -o sheet.png --num 4 --score 0.5"""
)
@click.argument('config')
@click.argument('checkpoint', type=click.Path(path_type=Path))
@click.option(
    '-o',
    '--out',
    type=click.Path(path_type=Path),
    metavar='PNG',
    required=True,
    help='The picture to write.',
)
@click.option('--num', default=12, show_default=True, help='Images to show.')
@click.option(
    '--score',
    default=0.3,
    show_default=True,
    help='Lowest score of a predicted box to draw.',
)
def sheet(config: str, checkpoint: Path, out: Path, num: int, score: float) -> None:
    """Draw held-out images with ground truth beside predictions.

    Runs CHECKPOINT on images of CONFIG's test_dataloader: detectors and
    instance segmentors of mmdet and mmyolo, segmentors of mmsegmentation.
    CONFIG is a file, or a name such as mmdet::yolox/yolox_s_8xb8-300e_coco.py.
    """
    from plugin.demo.contact_sheet import contact_sheet

    # The libraries print to standard output as they load annotations and weights.
    with redirect_stdout(sys.stderr):
        shown = contact_sheet(config, checkpoint, out, num, score)
    click.echo(f'{shown} images in {out}')
