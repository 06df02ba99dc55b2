"""The trunk of a module: the sequence among its children that runs stage by stage."""

from __future__ import annotations

import re

from torch import nn

_NUMBERED = re.compile(r'(.*?)_?(\d+)')
_STAGE_WORD = re.compile(r'(res_?)?(layer|stage|block|level)s?')
_BLOCK_LIST = re.compile(r'block|layer|stage|body')


def find_trunk(module: nn.Module) -> list[str] | None:
    """Paths of the stages of ``module``, in order, or None if it has none.

    Candidates are the entries of a list (``stages``, ``layers``, or the module itself)
    and numbered children (``layer1``, ``layer2``, ...). The largest is the trunk, if it
    has more than half of the parameters.
    """
    children = children_of(module)
    candidates = [
        [f'{name}.{entry}' for entry in children_of(child)]
        for name, child in children.items()
        if is_list(child)
    ]
    candidates += numbered(children).values()
    # HRNet: layer1, stage2, stage3, stage4.
    mixed = {n: number for n in children if (number := _stage_number(n)) is not None}
    if list(mixed.values()) == sorted(set(mixed.values())):
        candidates.append(list(mixed))
    if is_list(module):
        candidates.append(list(children))
    sized = [
        (sum(size_of(module.get_submodule(path)) for path in paths), paths)
        for paths in candidates
        if len(paths) >= 2
    ]
    largest, trunk = max(sized, key=lambda pair: pair[0], default=(0, None))
    return trunk if 2 * largest > size_of(module) else None


def number_blocks(stage: nn.Module) -> tuple[dict[str, int], int]:
    """Block of each parameter of a stage, from 1, and the number of blocks.

    0 is what precedes the first block; what follows the last one is in it.
    """
    number = 0
    numbers: dict[str, int] = {}
    blocks = {path: stage.get_submodule(path) for path in _block_paths(stage) or ['']}
    composite = any(children_of(block) for block in blocks.values())
    for path, block in blocks.items():
        # No layer of its own is a norm or a scale between two blocks, nor PVT's
        # position embedding before them.
        number += bool(children_of(block)) if composite else not is_flat(block)
        for name, _ in block.named_parameters(path):
            numbers[name] = number
    number = max(number, 1)
    otherwise = 0
    for name, _ in stage.named_parameters():
        if name in numbers:
            otherwise = number
        numbers.setdefault(name, otherwise)
    return numbers, number


def numbered(names: list[str] | dict) -> dict[str, list[str]]:
    """Names that end in a number, by what precedes it."""
    series: dict[str, list[str]] = {}
    for name in names:
        match = _NUMBERED.fullmatch(name)
        if match and match[1]:
            series.setdefault(match[1], []).append(name)
    return series


def children_of(module: nn.Module) -> dict[str, nn.Module]:
    """The children that hold parameters, by name."""
    return {name: child for name, child in module.named_children() if size_of(child)}


def is_list(module: nn.Module) -> bool:
    """Whether ``module`` is nothing but numbered children, as a ModuleList is."""
    names = [name for name, _ in module.named_children()]
    own = any(True for _ in module.parameters(recurse=False))
    return bool(names) and not own and all(name.isdigit() for name in names)


def has_blocks(module: nn.Module) -> bool:
    """Whether a child of ``module`` is made of modules itself."""
    return any(children_of(child) for child in module.children())


def is_flat(module: nn.Module) -> bool:
    """Whether ``module`` has no weights of two dimensions or more, as a norm."""
    return all(param.ndim <= 1 for param in module.parameters())


def size_of(module: nn.Module) -> int:
    """Number of parameters, in elements."""
    return sum(param.numel() for param in module.parameters())


def _block_paths(stage: nn.Module) -> list[str] | None:
    children = children_of(stage)
    lists = {name: child for name, child in children.items() if is_list(child)}
    if not is_list(stage):
        lists = {name: child for name, child in lists.items() if has_blocks(child)}
        name = max(lists, key=lambda n: size_of(lists[n]), default=None)
        # HRModule.branches run side by side, and MobileOne's lists are one block.
        if name is None or not _BLOCK_LIST.search(name):
            return None
        return [f'{name}.{entry}' for entry in children_of(lists[name])]
    # PVT: a list of the embedding, a list of blocks, and a norm. YOLOv6: a list of one.
    inner = list(children) if len(children) == 1 else list(lists)
    if len(inner) == 1 and 2 * size_of(children[inner[0]]) > size_of(stage):
        paths = _block_paths(children[inner[0]])
        if paths is not None:
            return [f'{inner[0]}.{path}' for path in paths]
    return list(children)


def _stage_number(name: str) -> int | None:
    match = _NUMBERED.fullmatch(name)
    return int(match[2]) if match and _STAGE_WORD.fullmatch(match[1]) else None
