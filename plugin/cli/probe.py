"""``probe``: channels, strides and the rest of any backbone."""

from __future__ import annotations

import json
from typing import Any

import click

from plugin.cli.options import (
    TakesCfgOptions,
    cfg_options,
    imports,
    libraries_to_stderr,
    out_indices,
)

_ALL = 'all'


@click.command(
    cls=TakesCfgOptions,
    epilog="""\b
Examples:
  python -m plugin probe timm:convnext_tiny --out-indices 1,2,3
  python -m plugin probe mmdet.ResNet --cfg-options depth=50 --json""",
)
@click.argument('backbone', required=False)
@cfg_options
@out_indices
@click.option(
    '--input',
    'size',
    type=click.IntRange(min=1),
    default=224,
    show_default=True,
    metavar='PIXELS',
    help='Height and width of the image.',
)
@imports
@click.option(
    '--list',
    'listed',
    is_flag=False,
    flag_value=_ALL,
    metavar='[timm:PATTERN]',
    help='Show which backbones there are.',
)
@click.option('--json', 'as_json', is_flag=True, help='One JSON document.')
@click.pass_context
def probe(
    ctx: click.Context,
    backbone: str | None,
    options: dict[str, Any],
    out_indices: tuple[int, ...] | None,
    size: int,
    imports: tuple[str, ...],
    listed: str | None,
    as_json: bool,
) -> None:
    """Measure BACKBONE: channels, strides, size and normalization.

    BACKBONE is plugin.ConvNeXt, mmdet.ResNet, timm:MODEL, a config whose backbone
    is meant, or your own: my_file.py, my_module.MyNet. Loads no weights.
    """
    if listed is not None:
        _list(listed, imports, as_json)
        return
    if backbone is None:
        raise click.UsageError("Missing argument 'BACKBONE'.", ctx)
    if out_indices is not None and 'out_indices' in options:
        raise click.UsageError('Write out_indices once.', ctx)

    with libraries_to_stderr():
        from plugin.config.backbone import with_options
        from plugin.probe import probe as run
        from plugin.probe.naming import is_config, resolve
        from plugin.probe.report import new_console, report

        cfg = with_options(resolve(backbone, imports), options)
        given = [*options]
        if out_indices is not None:
            cfg['out_indices'] = out_indices
            given.append('out_indices')
        found = run(cfg, size, given)
    if as_json:
        click.echo(json.dumps(found.document(backbone), indent=2))
        return
    shown = None if is_config(backbone) else cfg
    report(new_console(), backbone, shown, found)


def _list(listed: str, imports: tuple[str, ...], as_json: bool) -> None:
    from plugin.probe.report import new_console, report_catalogue

    with libraries_to_stderr():
        from plugin.probe.catalogue import GROUPS, catalogue, timm_models
        from plugin.probe.naming import import_all

        names = None
        if listed.startswith('timm:'):
            names = timm_models(listed.removeprefix('timm:'))
        elif listed not in (_ALL, *GROUPS):
            raise click.UsageError(
                f'--list {listed}: write --list, --list timm:PATTERN, or --list with '
                f'one of {", ".join(GROUPS)}.'
            )
        else:
            import_all(imports)
            found = catalogue(None if listed == _ALL else listed)
    if names is not None:
        text = json.dumps({'timm': names}, indent=2) if as_json else '\n'.join(names)
        click.echo(text)
    elif as_json:
        click.echo(json.dumps(found.groups, indent=2))
    else:
        report_catalogue(new_console(), found)
