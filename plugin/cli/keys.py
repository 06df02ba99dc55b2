"""``keys``: the names, shapes and dtypes in a checkpoint."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path

import click


@click.command(
    epilog="""\b
Examples:
  python -m plugin keys convnext-tiny.pth
  python -m plugin keys timm://resnet18 --json"""
)
@click.argument('checkpoint')
@click.option('--json', 'as_json', is_flag=True, help='One JSON document, unfolded.')
def keys(checkpoint: str, as_json: bool) -> None:
    """Show the names, shapes and dtypes in CHECKPOINT.

    What repeats is shown once: 0-5 are six parts alike. CHECKPOINT is a file, a
    URL, timm://MODEL or hf-hub:OWNER/NAME.
    """
    from plugin.pretrained.checkpoint_contents import weights_of
    from plugin.pretrained.conventions import proposals
    from plugin.pretrained.key_tree import lines, tree
    from plugin.pretrained.sources import read_checkpoint

    with redirect_stdout(sys.stderr):
        contents = read_checkpoint(checkpoint)
    weights = weights_of(contents)
    origin = next((origin for origin, _ in proposals(weights)), None)
    about = _provenance(checkpoint, contents)
    others = {
        name: type(value).__name__
        for name, value in contents.items()
        if name not in weights and not _holds(value, weights)
    }
    elements = sum(tensor.numel() for tensor in weights.values())
    if as_json:
        tensors = {
            name: {'shape': list(tensor.shape), 'dtype': _dtype(tensor)}
            for name, tensor in weights.items()
        }
        click.echo(
            json.dumps(
                {
                    'checkpoint': checkpoint,
                    'names': origin,
                    'elements': elements,
                    'tensors': tensors,
                    'others': others,
                    'provenance': about,
                },
                indent=2,
            )
        )
        return
    rows = [
        (
            f'{"  " * depth}{name}',
            '' if tensor is None else 'x'.join(map(str, tensor.shape)) or 'scalar',
            '' if tensor is None else _dtype(tensor),
        )
        for depth, name, tensor in lines(tree(weights))
    ]
    named = f', in {origin} names' if origin else ''
    click.echo(f'{checkpoint}: {len(weights)} tensors, {elements:,} elements{named}')
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(2)]
    for name, shape, dtype in rows:
        click.echo(f'{name:{widths[0]}}  {shape:>{widths[1]}}  {dtype}'.rstrip())
    for name, text in about.items():
        click.echo(f'{name}: {text}')
    if others:
        besides = ', '.join(f'{name} ({kind})' for name, kind in others.items())
        click.echo(f'besides: {besides}')


def _provenance(checkpoint: str, contents: dict) -> dict[str, str]:
    """What ``convert`` has written about its source."""
    from plugin.pretrained.safetensors_file import is_safetensors, read_metadata

    path = Path(checkpoint).expanduser()
    meta = contents.get('meta')
    if path.is_file() and is_safetensors(path):
        meta = read_metadata(path)
    if not isinstance(meta, dict) or 'converted_by' not in meta:
        return {}
    return {name: meta[name] for name in sorted(meta) if meta[name]}


def _holds(value: object, weights: dict) -> bool:
    """Whether ``value`` is the dict that the weights are from."""
    return isinstance(value, dict) and any(
        tensor is other
        for tensor in list(weights.values())[:1]
        for other in value.values()
    )


def _dtype(tensor) -> str:
    return str(tensor.dtype).removeprefix('torch.')
