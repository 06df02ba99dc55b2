"""The output of ``probe`` for people."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from plugin.measure.features import NCHW

if TYPE_CHECKING:
    from plugin.probe import Probe
    from plugin.probe.catalogue import Catalogue

WIDTH = 80
_TITLES = {'plugin': 'this project', 'own': 'your own'}


def report(
    console: Console, name: str, cfg: Mapping[str, Any] | None, found: Probe
) -> None:
    """Print what was found.

    Args:
        console: Where to.
        name: Of the backbone, as it was given.
        cfg: Of the backbone, for its line; None if it is in a config already.
        found: The measurements.
    """
    _print(console, Text(name, style='bold'), '', _maps(found), '', _facts(found))
    for note in found.notes:
        lines = textwrap.wrap(note, WIDTH, break_on_hyphens=False)
        _print(console, '', *(Text(line, style='yellow') for line in lines))
    if found.layout == NCHW:
        _print(console, '', *_to_copy(cfg, found))


def report_catalogue(console: Console, found: Catalogue) -> None:
    """Print the backbones that there are."""
    for group, names in found.groups.items():
        _print(console, Text(f'{_TITLES.get(group, group)} ({len(names)})', 'bold'))
        lines = _columns(names) or ['none; --import MODULE registers yours']
        _print(console, *(f'  {line}' for line in lines), '')
    for library, reason in found.missing.items():
        _print(console, *textwrap.wrap(f'{library}: {reason}', WIDTH), '')
    _print(console, '--list timm:PATTERN searches the models of timm.')


def new_console() -> Console:
    """Return one on standard output; 80 columns wide where that is no terminal."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = WIDTH
    return console


def _print(console: Console, *renderables: RenderableType) -> None:
    """Print as rich does, but without spaces at the ends of lines."""
    for one in renderables:
        with console.capture() as printed:
            # What is there to be copied must not be broken.
            console.print(one, soft_wrap=not isinstance(one, Table))
        for line in printed.get().splitlines() or ['']:
            console.file.write(f'{line.rstrip()}\n')


def _maps(found: Probe) -> Table:
    indices = found.out_indices or ()
    columns: dict[str, Sequence[object]] = {'map': range(len(found.channels))}
    if len(indices) == len(found.channels):
        columns['out_index'] = indices
    columns['channels'] = ['-' if c is None else c for c in found.channels]
    if found.strides and found.sizes:
        columns['stride'] = found.strides
        columns[f'at {found.input}x{found.input}'] = [
            f'{height}x{width}' for height, width in found.sizes
        ]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in columns:
        table.add_column(head, justify='right', no_wrap=True)
    for cells in zip(*columns.values(), strict=True):
        table.add_row(*map(str, cells))
    return table


def _facts(found: Probe) -> Table:
    size = f'{found.input}x{found.input}'
    facts = {
        'layout': found.layout,
        'parameters': f'{_short(found.params)}  ({found.params:,})',
        'multiply-adds': f'{_short(found.flops)} at {size}',
    }
    if found.sizes:
        facts['images'] = {
            None: f'of {size}, and no rule for other sizes',
            1: 'of any size',
        }.get(found.size_divisor, f'with sides in multiples of {found.size_divisor}')
    facts['mean'] = _listed(found.mean)
    facts['std'] = _listed(found.std)
    facts['num_layers'] = (
        'not known'
        if found.num_layers is None
        else f'{found.num_layers}, for layer decay'
    )
    facts['frozen_stages'] = (
        'cannot freeze' if found.frozen_stages is None else str(found.frozen_stages)
    )
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style='dim')
    table.add_column(no_wrap=True)
    for fact in facts.items():
        table.add_row(*fact)
    return table


def _to_copy(cfg: Mapping[str, Any] | None, found: Probe) -> Iterator[str]:
    channels = list(found.channels)
    in_index = list(range(len(channels)))
    if cfg is not None:
        yield from _call('backbone', cfg)
    yield from _call('neck', dict(in_channels=channels))
    yield from _call('decode_head', dict(in_channels=channels, in_index=in_index))


def _call(name: str, arguments: Mapping[str, Any]) -> Iterator[str]:
    """Return ``name=dict(...)`` in one line, or with a line an argument."""
    written = [f'{key}={value!r}' for key, value in arguments.items()]
    line = f'{name}=dict({", ".join(written)})'
    if len(line) <= WIDTH:
        yield line
        return
    yield f'{name}=dict('
    yield from (f'    {argument},' for argument in written)
    yield ')'


def _listed(values: tuple[float, ...] | None) -> str:
    if values is None:
        return 'not known'
    return f'[{", ".join(f"{value:g}" for value in values)}]'


def _short(number: int) -> str:
    for unit, letter in ((10**9, 'G'), (10**6, 'M'), (10**3, 'k')):
        if number >= unit:
            return f'{number / unit:.2f} {letter}'
    return str(number)


def _columns(names: Sequence[str]) -> list[str]:
    """Return the names in columns: down, then across."""
    if not names:
        return []
    width = max(map(len, names)) + 2
    across = max(1, (WIDTH - 2) // width)
    down = -(-len(names) // across)
    rows = (names[i::down] for i in range(down))
    return [''.join(f'{name:{width}}' for name in row).rstrip() for row in rows]
