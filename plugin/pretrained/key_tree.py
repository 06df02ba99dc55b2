"""The names in a checkpoint as a tree, with what repeats shown once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from torch import Tensor


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
