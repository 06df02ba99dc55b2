"""The trunk of a module: the sequence among its children that runs stage by stage."""

from __future__ import annotations

import re
from dataclasses import dataclass

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
    """Return whether a child of ``module`` is made of modules itself."""
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


@dataclass(frozen=True)
class Stages:
    """The stage and block of each parameter of a module.

    Attributes:
        places: (stage, block) by parameter name. Stage 0 is the stem; stages and the
            blocks in a stage count from 1; ``len(blocks) + 1`` is what follows the
            last stage.
        blocks: Number of blocks of each stage.
        unplaced: Parameters whose place cannot be determined.
    """

    places: dict[str, tuple[int, int]]
    blocks: tuple[int, ...]
    unplaced: tuple[str, ...]

    def by_stage(self, name: str) -> int:
        """Depth of a parameter when a stage is one layer; the stem is 0."""
        return self.places[name][0]

    def by_block(self, name: str) -> int:
        """Depth of a parameter when a block is one layer; the stem is 0."""
        stage, block = self.places[name]
        return sum(self.blocks[: max(stage - 1, 0)]) + block


def find_stages(module: nn.Module) -> Stages | None:
    """The stages among the children of ``module``, or None when it has none.

    A sequence of children that holds more than half of the parameters counts as the
    stages. What precedes it is the stem; where nothing does, a first entry of another
    class than the second is (EfficientNet, MobileNetV3), or what precedes the blocks
    of the first stage (PVT). What stands between two stages goes with the later one.
    Final and output norms, and single layers after the last stage, go with the head.
    """
    trunk = find_trunk(module)
    if trunk is None:
        return None
    return _Placing(module, trunk).run()


class _Placing:
    """Places the parameters of one module, given the paths of its trunk."""

    def __init__(self, module: nn.Module, trunk: list[str]) -> None:
        self.module = module
        self.places: dict[str, tuple[int, int]] = {}
        self.unplaced: list[str] = []
        self.order = list(children_of(module))
        own = [name for name, _ in module.named_parameters(recurse=False)]
        self.places |= dict.fromkeys(own, (0, 0))
        self.has_stem = bool(own) or self._position(trunk[0]) > 0
        first, second = (type(module.get_submodule(path)) for path in trunk[:2])
        if not self.has_stem and first is not second:
            self.has_stem = True
            self._put(trunk[0], 0)
            trunk = trunk[1:]
        self.trunk = trunk
        self.begin, self.end = self._position(trunk[0]), self._position(trunk[-1])
        self.blocks = [0] * len(trunk)

    def run(self) -> Stages:
        for stage, path in enumerate(self.trunk, 1):
            self._place_stage(stage, path)
        owners = {_owner(path) for path in self.trunk}
        others = [
            name
            for name in self.order
            if name not in owners and not self._is_placed(name)
        ]
        for members in self._series(others):
            self._place_series(members)
        for name in others:
            if not self._is_placed(name):
                self._place_other(name)
        return Stages(self.places, tuple(self.blocks), tuple(self.unplaced))

    def _position(self, path: str) -> int:
        return self.order.index(_owner(path))

    def _is_placed(self, child: str) -> bool:
        return any(_owner(name) == child for name in self.places)

    def _put(self, path: str, stage: int, block: int = 1) -> None:
        for name, _ in self.module.get_submodule(path).named_parameters(path):
            self.places[name] = (stage, block if stage else 0)

    def _place_stage(self, stage: int, path: str) -> None:
        numbers, self.blocks[stage - 1] = number_blocks(self.module.get_submodule(path))
        for name, block in numbers.items():
            is_stem = block == 0 and stage == 1 and not self.has_stem
            self.places[f'{path}.{name}'] = (
                (0, 0) if is_stem else (stage, max(block, 1))
            )

    def _series(self, names: list[str]) -> list[list[str]]:
        """Children that come one a stage, or one between two stages."""
        lists = [
            [
                f'{name}.{entry}'
                for entry in children_of(self.module.get_submodule(name))
            ]
            for name in names
            # What runs in sequence (nn.Sequential) is not one a stage, nor is a stem.
            if isinstance(self.module.get_submodule(name), nn.ModuleList)
            and 'stem' not in name
        ]
        count = len(self.trunk)
        return [
            members
            for members in (*lists, *numbered(names).values())
            if len(members) in (count, count - 1)
            and len(members) > 1
            and not self._is_decoder(members)
        ]

    def _is_decoder(self, members: list[str]) -> bool:
        # UNet has one decoder a step, but they come last and are as large as a trunk.
        size = sum(size_of(self.module.get_submodule(path)) for path in members)
        return self._position(members[0]) > self.end and 4 * size > size_of(self.module)

    def _place_series(self, members: list[str]) -> None:
        between = len(members) < len(self.trunk)
        for stage, path in enumerate(members, 2 if between else 1):
            position = self._position(path)
            if position > self.end and is_flat(self.module.get_submodule(path)):
                self._put(path, len(self.trunk) + 1)  # an output norm
            elif stage == 1 and position < self.begin:
                self._put(path, 0)
            else:
                leads_in = between or position < self.end
                self._put(path, stage, 1 if leads_in else self.blocks[stage - 1])

    def _place_other(self, name: str) -> None:
        child = self.module.get_submodule(name)
        position = self._position(name)
        if position < self.begin:
            self._put(name, 0)
        elif position < self.end:
            self._put(name, 1 + sum(self._position(p) < position for p in self.trunk))
        elif is_list(child) and has_blocks(child) and not is_flat(child):
            # A decoder, a second trunk: not the tail of the first one.
            self.unplaced += [n for n, _ in child.named_parameters(name)]
        else:
            self._put(name, len(self.trunk) + 1)


def _owner(path: str) -> str:
    return path.partition('.')[0]
