"""``keys``: the names, shapes and dtypes in a checkpoint."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path

import click
from torch import Tensor

# Of a name that has more dots than this, the rest is one part.
_DEEPEST = 63
# A longer name moves its own columns and not those of all others.
_WIDEST = 100
_NAMELESS = "''"


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
    URL, timm://MODEL, hf-hub:OWNER/NAME or package://MODULE/FILE.
    """
    from plugin.weights.conventions import origin_of
    from plugin.weights.files.contents import under, weights_of
    from plugin.weights.files.refusal import printable
    from plugin.weights.files.sources import read_checkpoint

    with redirect_stdout(sys.stderr):
        # Names and shapes alone, however large it is.
        contents = read_checkpoint(checkpoint, 'meta')
    weights = weights_of(contents)
    origin = origin_of(under(weights, None))
    about = _provenance(checkpoint, contents)
    others = _others(contents, weights)
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
    named = f', in {origin} names' if origin else ''
    click.echo(f'{checkpoint}: {len(weights)} tensors, {elements:,} elements{named}')
    text = list(_table(weights))
    text += [f'{printable(name)}: {printable(value)}' for name, value in about.items()]
    if others:
        besides = ', '.join(f'{printable(n)} ({kind})' for n, kind in others.items())
        text.append(f'besides: {besides}')
    if text:
        click.echo('\n'.join(text))


def _table(weights: Mapping[str, Tensor]) -> Iterator[str]:
    from plugin.weights.files.refusal import printable

    rows = [
        (
            f'{"  " * depth}{printable(name) or _NAMELESS}',
            '' if tensor is None else 'x'.join(map(str, tensor.shape)) or 'scalar',
            '' if tensor is None else _dtype(tensor),
        )
        for depth, name, tensor in lines(tree(weights))
    ]
    widths = [
        min(max((len(row[i]) for row in rows), default=0), _WIDEST) for i in range(2)
    ]
    for name, shape, dtype in rows:
        yield f'{name:{widths[0]}}  {shape:>{widths[1]}}  {dtype}'.rstrip()


def _provenance(checkpoint: str, contents: dict) -> dict[str, str]:
    """Return what ``convert`` has written about its source."""
    from plugin.weights.files.safetensors_file import is_safetensors, read_metadata

    path = Path(checkpoint).expanduser()
    meta = contents.get('meta')
    if path.is_file() and is_safetensors(path):
        meta = read_metadata(path)
    if not isinstance(meta, dict) or 'converted_by' not in meta:
        return {}
    facts = {k: v for k, v in meta.items() if isinstance(k, str) and isinstance(v, str)}
    return {name: facts[name] for name in sorted(facts) if facts[name]}


def _others(contents: dict, weights: Mapping[str, Tensor]) -> dict[str, str]:
    """Return what else is in a checkpoint, by name, each with its type."""
    from plugin.weights.files.refusal import described

    own = {id(tensor) for tensor in weights.values()}

    def holds_weights(value: object) -> bool:
        return isinstance(value, dict) and any(id(v) in own for v in value.values())

    return {
        name if isinstance(name, str) else described(name): type(value).__name__
        for name, value in contents.items()
        if id(value) not in own and not holds_weights(value)
    }


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix('torch.')


class Node:
    """A part of the names: tensors below it, or one tensor.

    Attributes:
        children: By the next part of the name.
        tensor: A tensor of this shape and dtype, if the name is one of a tensor.
        kind: A number that nodes have in common that look alike.
    """

    __slots__ = ('children', 'kind', 'tensor')

    def __init__(self, tensor: Tensor | None = None) -> None:
        self.children: dict[str, Node] = {}
        self.tensor = tensor
        self.kind = -1


class _Kinds(dict[tuple, int]):
    """Numbers of nodes that look alike, by what makes them do so."""


def tree(weights: Mapping[str, Tensor]) -> Node:
    """Return the names of ``weights``, by their parts between dots.

    What is behind the 63rd dot stays one part. Names of one shape and dtype with
    nothing below them are one node, since most names are such.
    """
    root = Node()
    inner = [root]
    leaves: dict[tuple, Node] = {}
    for name, tensor in weights.items():
        *parts, last = name.split('.', _DEEPEST)
        node = root
        for part in parts:
            child = node.children.get(part)
            if child is None or not child.children:
                child = Node(child and child.tensor)
                inner.append(child)
                node.children[part] = child
            node = child
        if last in node.children:
            node.children[last].tensor = tensor
            continue
        look = tensor.shape, tensor.dtype
        if look not in leaves:
            leaves[look] = Node(tensor)
        node.children[last] = leaves[look]
    kinds = _Kinds()

    def number(node: Node) -> None:
        tensor = node.tensor
        own = None if tensor is None else (tensor.shape, tensor.dtype)
        below = ((name, child.kind) for name, child in node.children.items())
        node.kind = kinds.setdefault((own, *below), len(kinds))

    # Children come after their parents, so their kinds are known first.
    for node in [*leaves.values(), *reversed(inner)]:
        number(node)
    return root


def lines(node: Node, depth: int = 0) -> Iterator[tuple[int, str, Tensor | None]]:
    """Yield rows of the tree: how deep, the name, and the tensor if it is one.

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
    for name, child in node.children.items():
        if run and _number(name) == _number(run[-1]) + 1:
            if child.kind == node.children[run[-1]].kind:
                run.append(name)
                continue
        yield from _row(node, run)
        run = []
        if _number(name) is None:
            yield name, child
        else:
            run = [name]
    yield from _row(node, run)


def _row(node: Node, run: list[str]) -> Iterator[tuple[str, Node]]:
    if run:
        folded = run[0] if len(run) == 1 else f'{run[0]}-{run[-1]}'
        yield folded, node.children[run[0]]


def _number(name: str) -> int | None:
    """Return the number that a part of a name is, if it is one as people write it."""
    if (
        len(name) < 10
        and name.isascii()
        and name.isdecimal()
        and str(int(name)) == name
    ):
        return int(name)
    return None
