"""``test``: whether a backbone keeps the contract."""

from __future__ import annotations

import json

import click

from plugin.cli.options import (
    TakesCfgOptions,
    cfg_options,
    imports,
    libraries_to_stderr,
)


@click.command(
    cls=TakesCfgOptions,
    epilog="""\b
Examples:
  python -m plugin test plugin.ConvNeXt --cfg-options arch=atto
  python -m plugin test timm:resnet18""",
)
@click.argument('backbone', metavar='BACKBONE')
@cfg_options
@imports
@click.option('--input', 'size', type=int, default=128, help='Pixels. Default: 128.')
@click.option('--json', 'as_json', is_flag=True, help='One JSON document.')
@click.pass_context
def test(
    ctx: click.Context,
    backbone: str,
    options: dict,
    imports: tuple[str, ...],
    size: int,
    as_json: bool,
) -> None:
    """Check that BACKBONE keeps the contract that necks and heads rely on.

    BACKBONE is a type with its scope, timm:MODEL, a config, or the file of a class of
    your own. The status is 1 if a check fails.
    """
    from plugin.probe.naming import resolve
    from plugin.testing import FAILED, examine

    with libraries_to_stderr():
        try:
            cfg = {**resolve(backbone, imports), **options}
            outcomes = list(examine(cfg, size))
        except ValueError as error:
            raise click.ClickException(str(error)) from error
    if as_json:
        click.echo(json.dumps([vars(outcome) for outcome in outcomes], indent=2))
    else:
        for one in outcomes:
            click.echo(f'{one.status:6}  {one.check}: {one.message}')
    ctx.exit(any(one.status == FAILED for one in outcomes))
