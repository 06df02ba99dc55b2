"""``convert``: write a checkpoint under the names of a backbone."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path

import click

from plugin.cli.options import TakesCfgOptions, cfg_options


@click.command(
    cls=TakesCfgOptions,
    epilog="""\b
Examples:
  python -m plugin convert timm://convnext_atto a.pth --to plugin.ConvNeXt
  python -m plugin convert swin.pth out.safetensors --to my_config.py""",
)
@click.argument('source', metavar='SRC')
@click.argument('out', metavar='DST', type=click.Path(path_type=Path))
@click.option(
    '--to',
    'backbone',
    metavar='BACKBONE',
    help='A type with its scope, timm:MODEL, or a config.',
)
@cfg_options
@click.option(
    '--prefix',
    metavar='TEXT',
    help='Prefix in SRC. Default: found by itself.',
)
@click.option(
    '--add-prefix',
    metavar='TEXT',
    default='',
    help='Prefix to put before names in DST.',
)
@click.option(
    '--min-loaded',
    type=float,
    metavar='SHARE',
    help='Least share of the parameters. Default: 0.5.',
)
@click.option(
    '--merge-adapters',
    is_flag=True,
    help='Merge the adapters of plugin.PEFTBackbone.',
)
@click.option(
    '--by-structure',
    is_flag=True,
    help='Match tensors by order, without names.',
)
@click.option(
    '--names',
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar='TABLE',
    help='Rename by a table that --by-structure has written.',
)
@click.option(
    '--plain',
    is_flag=True,
    help='Write the weights of a file that is refused, alone.',
)
@click.option('--force', is_flag=True, help='Replace DST.')
def convert(
    source: str,
    out: Path,
    backbone: str | None,
    options: dict,
    prefix: str | None,
    add_prefix: str,
    min_loaded: float | None,
    merge_adapters: bool,
    by_structure: bool,
    names: Path | None,
    plain: bool,
    force: bool,
) -> None:
    """Write the weights of SRC under the names of a backbone.

    SRC is a file, a URL, timm://MODEL, hf-hub:OWNER/NAME or
    package://MODULE/FILE. DST is a .pth or .safetensors file, which says where
    its weights are from.
    """
    if plain:
        from plugin.align.plain_copy import plain_copy

        with redirect_stdout(sys.stderr):
            tensors, left_out = plain_copy(source, out, force)
        click.echo(f'{out}: {tensors} tensors, and nothing else of {source}')
        if left_out:
            click.echo(f'left out: {left_out}')
        return
    if backbone is None:
        raise click.UsageError("Missing option '--to'.")
    if merge_adapters:
        _merge_adapters(source, out, backbone, force)
        return
    from plugin.align.conversion import convert as run
    from plugin.weights.audit.report import reasons

    with redirect_stdout(sys.stderr):
        done = run(
            source,
            out,
            backbone,
            options,
            prefix,
            add_prefix,
            min_loaded,
            force,
            by_structure,
            names,
        )
    origin = f', from {done.fit.origin} names' if done.fit.origin else ''
    click.echo(
        f'{out}: {len(done.fit.tensors)} tensors{origin}, '
        f'{100 * done.fit.share:.1f} % of the parameters'
    )
    if by_structure:
        click.echo(f'names: {out.with_suffix(".json")}')
        click.echo(
            'aligned by order and shape alone: hold the outputs against those of'
            ' the model they are from before you use them'
        )
    arguments = ', '.join(f'{k}={v!r}' for k, v in done.cfg.items())
    click.echo(f'backbone: dict({arguments})')
    if done.missing:
        shown = ', '.join(done.missing[:6]) + (', ...' if done.missing[6:] else '')
        click.echo(f'not in {source}: {shown}')
    if done.unusable:
        click.echo(
            f'{len(done.unusable)} tensors of {source} are no weights and were left '
            f'out: {reasons(done.unusable)}'
        )
    where = f", prefix='{add_prefix}'" if add_prefix else ''
    click.echo(f"init_cfg=dict(type='Pretrained', checkpoint='{out}'{where})")


def _merge_adapters(source: str, out: Path, config: str, force: bool) -> None:
    from plugin.align.merging import merge_adapters

    with redirect_stdout(sys.stderr):
        done = merge_adapters(source, out, config, force)
    click.echo(f'{out}: the adapters of {done.layers} layers are in the weights')
    click.echo(
        f'use it with the backbone at {done.backbone} of {config} in the place of '
        f"plugin.PEFTBackbone, and load_from='{out}'"
    )
