"""``swap``: another backbone in a config, written as a config."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plugin.cli.options import (
    TakesCfgOptions,
    cfg_options,
    imports,
    libraries_to_stderr,
    out_indices,
)

if TYPE_CHECKING:
    from plugin.swap import Swapped


@click.command(
    cls=TakesCfgOptions,
    epilog="""\b
Examples:
  python -m plugin swap mmdet::retinanet/retinanet_r50_fpn_1x_coco.py \\
      timm:convnext_tiny -o retinanet_convnext-tiny.py
  python -m plugin swap configs/seg/_base_/upernet_shapes.py mmdet.ResNet \\
      --cfg-options depth=18 -o upernet_r18.py""",
)
@click.argument('base_config')
@click.argument('backbone')
@cfg_options
@out_indices
@imports
@click.option(
    '-o',
    '--out',
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar='OUT.py',
    help='The config to write.',
)
@click.option('--force', is_flag=True, help='Replace OUT.py.')
def swap(
    base_config: str,
    backbone: str,
    options: dict[str, Any],
    out_indices: tuple[int, ...] | None,
    imports: tuple[str, ...],
    out: Path,
    force: bool,
) -> None:
    """Write a config that puts BACKBONE into BASE_CONFIG.

    It inherits from BASE_CONFIG and holds what must follow: neck, heads, mean
    and std, weights. BACKBONE is as for probe. Status 1: they do not fit.
    """
    if out_indices is not None and 'out_indices' in options:
        raise click.UsageError('Write out_indices once.')
    with libraries_to_stderr():
        from plugin.check import NotAConfig
        from plugin.swap import swap as run

        try:
            done = run(base_config, backbone, out, options, out_indices, imports, force)
        except NotAConfig as error:
            raise click.UsageError(str(error)) from error
    click.echo('\n'.join(_report(done)))


def _report(done: Swapped) -> Iterator[str]:
    def numbers(values: tuple[int, ...]) -> str:
        return ', '.join(map(str, values))

    yield f'{done.out}: {len(done.text.splitlines())} lines, checked'
    if done.out_indices is not None:
        yield f'  out_indices  {numbers(done.out_indices)}'
    yield f'  strides      {numbers(done.strides)}'
    yield f'  channels     {numbers(done.channels)}'
    weights = done.weights or 'none known: random'
    if len(weights) > 60:
        weights = weights.rpartition('/')[2]
    yield f'  weights      {weights}'
    for note in done.notes:
        yield f'  and          {note}'
    for problem in done.problems:
        yield (
            f'  {problem.severity:12} {problem.key}: found {problem.found}, '
            f'expected {problem.expected}'
        )
        yield f'  fix          {problem.in_short}'
    if done.imports:
        yield f'It imports {", ".join(done.imports)}, which must be on PYTHONPATH.'
    yield f'mim train {done.library} {done.out}'
