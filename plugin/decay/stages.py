"""The ordered stages and blocks of a backbone, read from its children.

What a class calls its stages differs: one ``stages`` or ``layers`` list (Swin, PVT,
CSPResNeXt), numbered siblings ``layer1`` to ``layer4`` (ResNet, MobileNetV3),
``stage1`` to ``stage4`` (CSPDarknet, EfficientRep), or a mixture (HRNet: ``layer1``,
``stage2`` to ``stage4``). The trunk is the sequence that holds most of the parameters;
the rest takes its place from the order in which the children were assigned.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from plugin.decay.trunk import (
    children_of,
    find_trunk,
    has_blocks,
    is_flat,
    is_list,
    number_blocks,
    numbered,
    size_of,
)


@dataclass(frozen=True)
class Stages:
    """Where each parameter of a module stands.

    Attributes:
        places: (stage, block) by parameter name. Stage 0 is the stem; stages and the
            blocks in a stage count from 1; ``len(blocks) + 1`` is what follows the
            last stage.
        blocks: Number of blocks of each stage.
        unplaced: Parameters whose place can't be told.
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
