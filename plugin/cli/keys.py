"""``keys``: the names, shapes and dtypes in a checkpoint."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import click
from torch import Tensor


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
    from plugin.weights.conventions import proposals
    from plugin.weights.files.contents import under, weights_of
    from plugin.weights.files.sources import read_checkpoint

    with redirect_stdout(sys.stderr):
        contents = read_checkpoint(checkpoint)
    weights = weights_of(contents)
    origin = next((origin for origin, _ in proposals(under(weights, None))), None)
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
    from plugin.weights.files.safetensors_file import is_safetensors, read_metadata

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


@dataclass
class Node:
    """A part of the names: tensors below it, or one tensor.

    Attributes:
        children: By the next part of the name.
        tensor: The tensor of this name, if it is one.
    """

    children: dict[str, Node] = field(default_factory=dict)
    tensor: Tensor | None = None

    def shape(self) -> tuple:
        """What makes two nodes look alike."""
        own = None
        if self.tensor is not None:
            own = tuple(self.tensor.shape), self.tensor.dtype
        return own, tuple((name, c.shape()) for name, c in self.children.items())


def tree(weights: Mapping[str, Tensor]) -> Node:
    """The names of ``weights``, by their parts between dots."""
    root = Node()
    for name, tensor in weights.items():
        node = root
        for part in name.split('.'):
            node = node.children.setdefault(part, Node())
        node.tensor = tensor
    return root


def lines(node: Node, depth: int = 0) -> Iterator[tuple[int, str, Tensor | None]]:
    """Rows of the tree: how deep, the name, and the tensor if it is one.

    A name with one child is joined to it by a dot. Numbers in a row with the same
    below them become one, ``0-5``.
    """
    for name, child in _folded(node):
        while child.tensor is None and len(child.children) == 1:
            ((part, child),) = child.children.items()
            name = f'{name}.{part}'
        yield depth, name, child.tensor
        yield from lines(child, depth + 1)


def _folded(node: Node) -> Iterator[tuple[str, Node]]:
    run: list[str] = []
    shape = None
    for name, child in [*node.children.items(), ('', Node())]:
        alike = child.shape()
        follows = run and name.isdecimal() and int(name) == int(run[-1]) + 1
        if follows and alike == shape:
            run.append(name)
            continue
        if run:
            folded = run[0] if len(run) == 1 else f'{run[0]}-{run[-1]}'
            yield folded, node.children[run[0]]
        run, shape = [], None
        if name.isdecimal():
            run, shape = [name], alike
        elif name:
            yield name, child
