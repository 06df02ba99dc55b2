"""``probe``: channels, strides and the rest of any backbone."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

import click

from plugin.cli.options import TakesCfgOptions, cfg_options

if TYPE_CHECKING:
    from plugin.probing import Probe

_ALL = 'all'
WIDTH = 80


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


@click.command(
    cls=TakesCfgOptions,
    epilog="""\b
Examples:
  python -m plugin probe timm:convnext_tiny --out-indices 1,2,3
  python -m plugin probe mmdet.ResNet --cfg-options depth=50 --json""",
)
@click.argument('backbone', required=False)
@cfg_options
@click.option('--out-indices', callback=_indices, metavar='I,J', help='Maps to give.')
@click.option(
    '--input',
    'size',
    type=click.IntRange(min=1),
    default=224,
    show_default=True,
    metavar='PIXELS',
    help='Height and width of the image.',
)
@click.option(
    '--import', 'imports', multiple=True, metavar='MODULE', help='Has your backbone.'
)
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
    """Measure BACKBONE: channels, strides, size, and what it wants to be fed.

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

    with _libraries_to_stderr():
        from plugin.probing import probe as run
        from plugin.probing.naming import resolve

        cfg = _merged(resolve(backbone, imports), options)
        given = [*options]
        if out_indices is not None:
            cfg['out_indices'] = out_indices
            given.append('out_indices')
        found = run(cfg, size, given)
    if as_json:
        click.echo(json.dumps(found.document(backbone), indent=2))
        return
    click.echo('\n'.join(_report(backbone, cfg, found)))


@contextmanager
def _libraries_to_stderr() -> Iterator[None]:
    """What the libraries print and log of themselves is no part of the answer."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        with redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(before)


def _merged(cfg: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(cfg)
    for key, value in options.items():
        inner = merged.get(key)
        both = isinstance(inner, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(inner, value) if both else value
    return merged


def _report(name: str, cfg: Mapping[str, Any], found: Probe) -> Iterator[str]:
    yield name
    yield ''
    yield from _maps(found)
    yield ''
    yield from _facts(found)
    for note in found.notes:
        yield ''
        yield from _wrapped(note)
    if found.layout == 'NCHW':
        yield ''
        yield from _to_copy(cfg, found)


def _maps(found: Probe) -> Iterator[str]:
    size = f'{found.input}x{found.input}'
    indices = found.out_indices or ()
    if len(indices) != len(found.channels):
        indices = ('',) * len(found.channels)
    rows = [
        (
            str(i),
            str(index),
            '-' if channels is None else str(channels),
            str(found.strides[i]) if found.strides else '-',
            'x'.join(map(str, found.sizes[i])) if found.sizes else '-',
        )
        for i, (index, channels) in enumerate(zip(indices, found.channels, strict=True))
    ]
    heads = ('map', 'out_index', 'channels', 'stride', f'at {size}')
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        cells = (cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        yield '  '.join(cells).rstrip()


def _facts(found: Probe) -> Iterator[str]:
    size = f'{found.input}x{found.input}'
    image = {
        None: f'{size}, and no rule for other sizes',
        1: 'of any size',
    }.get(found.size_divisor, f'with sides that are multiples of {found.size_divisor}')
    facts = {
        'layout': found.layout,
        'parameters': f'{_short(found.params)}  ({found.params:,})',
        'multiply-adds': f'{_short(found.flops)} at {size}',
        'images': image,
        'mean, std': 'not known'
        if found.mean is None
        else f'{_plain(found.mean)}, {_plain(found.std)}',
        'num_layers': 'not known'
        if found.num_layers is None
        else f'{found.num_layers}, for layer decay',
        'frozen_stages': 'can not freeze'
        if found.frozen_stages is None
        else str(found.frozen_stages),
    }
    width = max(map(len, facts))
    for name, value in facts.items():
        yield f'{name:{width}}  {value}'


def _to_copy(cfg: Mapping[str, Any], found: Probe) -> Iterator[str]:
    channels = list(found.channels)
    yield from _call(
        'backbone', {k: v for k, v in cfg.items() if k not in ('_scope_', 'init_cfg')}
    )
    yield f'neck=dict(in_channels={channels})'
    in_index = list(range(len(channels)))
    yield from _call('decode_head', dict(in_channels=channels, in_index=in_index))
    if found.mean is not None:
        yield from _call(
            'data_preprocessor', dict(mean=list(found.mean), std=list(found.std))
        )


def _call(name: str, arguments: Mapping[str, Any]) -> Iterator[str]:
    """``name=dict(...)`` in one line, or with a line an argument."""
    written = [
        f'{k}={v.__name__ if isinstance(v, type) else repr(v)}'
        for k, v in arguments.items()
    ]
    line = f'{name}=dict({", ".join(written)})'
    if len(line) <= WIDTH:
        yield line
        return
    yield f'{name}=dict('
    yield from (f'    {argument},' for argument in written)
    yield ')'


def _wrapped(text: str) -> list[str]:
    from textwrap import wrap

    return wrap(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _short(number: int) -> str:
    for unit, letter in ((10**9, 'G'), (10**6, 'M'), (10**3, 'k')):
        if number >= unit:
            return f'{number / unit:.2f} {letter}'
    return str(number)


def _plain(values: tuple[float, ...]) -> str:
    return f'[{", ".join(f"{value:g}" for value in values)}]'


def _list(listed: str, imports: tuple[str, ...], as_json: bool) -> None:
    with _libraries_to_stderr():
        from plugin.probing.catalogue import GROUPS, catalogue, timm_models
        from plugin.probing.naming import import_all

        missing = {}
        if listed.startswith('timm:'):
            groups = {'timm': timm_models(listed.removeprefix('timm:'))}
        elif listed == _ALL or listed in GROUPS:
            import_all(imports)
            found = catalogue(None if listed == _ALL else listed)
            groups, missing = found.groups, found.missing
        else:
            raise click.UsageError(
                f'--list {listed}: write --list, --list timm:PATTERN, or --list with '
                f'one of {", ".join(GROUPS)}.'
            )
    if as_json:
        click.echo(json.dumps(groups, indent=2))
        return
    if 'timm' in groups:
        click.echo('\n'.join(groups['timm']))
        return
    for group, names in groups.items():
        click.echo(f'{_TITLES.get(group, group)} ({len(names)})')
        for line in _columns(names) or ['none; --import MODULE registers yours']:
            click.echo(f'  {line}')
        click.echo()
    for library, reason in missing.items():
        click.echo(f'{library}: {reason}\n')
    click.echo('--list timm:PATTERN searches the models of timm.')


_TITLES = {'plugin': 'this project', 'own': 'your own'}


def _columns(names: list[str]) -> list[str]:
    """Down, then across, in 78 characters."""
    if not names:
        return []
    width = max(map(len, names)) + 2
    across = max(1, (WIDTH - 2) // width)
    down = -(-len(names) // across)
    rows = (names[i::down] for i in range(down))
    return [''.join(f'{name:{width}}' for name in row).rstrip() for row in rows]
