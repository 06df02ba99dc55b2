"""One forward of a backbone, seen from outside: its shapes and how much it computes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from plugin.measure.backbone import build, type_name
from plugin.measure.features import NCHW, layout
from plugin.timm_models.meta_device import ShapesAtOnce


@dataclass(frozen=True)
class Maps:
    """The outputs of a forward.

    Attributes:
        shapes: Of each output; for what is not a tensor the name of its type.
        size: Height and width of the image.
        bare: A single tensor came back, in no tuple.
    """

    shapes: tuple[tuple[int, ...] | str, ...]
    size: tuple[int, int]
    bare: bool = False

    @property
    def layout(self) -> str:
        """As :func:`~plugin.measure.features.layout`; ``NCL``: patches are last."""
        found = layout(self.shapes)
        if found == 'NLC' and all(map(self._patches_last, self.shapes)):
            return 'NCL'
        return found

    @property
    def kind(self) -> str:
        """The type of the first output."""
        first = self.shapes[0]
        return first if isinstance(first, str) else 'Tensor'

    @property
    def channels(self) -> tuple[int | None, ...]:
        """Of each output; None for what is not a tensor."""
        axis = {NCHW: 1, 'NC': 1, 'NCL': 1}.get(self.layout, -1)
        return tuple(None if isinstance(s, str) else s[axis] for s in self.shapes)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...] | None:
        """Height and width of each map; None if they are not maps."""
        first = {NCHW: 2, 'NHWC': 1}.get(self.layout)
        if first is None:
            return None
        return tuple(tuple(s[first : first + 2]) for s in self.shapes)

    @property
    def strides(self) -> tuple[int, ...] | None:
        """Input pixels per map cell, of each map; None if they are not maps."""
        if self.sizes is None:
            return None
        return tuple(_stride(self.size[0], height) for height, _ in self.sizes)

    def _patches_last(self, shape: tuple[int, ...]) -> bool:
        """Return whether only the last axis counts patches of the image."""
        patches = {self.size[0] * self.size[1] // side**2 for side in range(4, 65)}
        return shape[2] in patches and shape[1] not in patches


def _stride(side: int, cells: int) -> int:
    """Return the stride of a map of ``cells`` = ceil(side / stride), if that shows it.

    At 225 pixels 8 cells are of stride 32, not of 28: where there is a power of two
    among the strides that give so many cells, it is the one.
    """
    cells = max(cells, 1)
    power = 1 << max(math.ceil(side / cells) - 1, 0).bit_length()
    return power if math.ceil(side / power) == cells else round(side / cells)


class MeasuredBackbone:
    """A backbone on the meta device; on the CPU from when it asks for values.

    Args:
        cfg: Of the backbone. No weights are loaded, whatever it says.

    Attributes:
        name: Its type.
        cfg: As given.
        backbone: In the mode that it was built in.
        in_channels: Channels of the image.

    Raises:
        Exception: Whatever the constructor raises.
    """

    def __init__(self, cfg: Mapping[str, Any]) -> None:
        self.name = type_name(cfg)
        self.cfg = cfg
        self.backbone = build(cfg, meta=True)
        self.in_channels = 3

    def forward(self, size: tuple[int, int]) -> Maps:
        """One forward on an image of ``size`` (height, width).

        Raises:
            Exception: Whatever the backbone raises.
        """
        try:
            outputs = _run(self.backbone, self.in_channels, size)
        except Exception as error:
            if not _asks_for_values(self.backbone, error):
                raise
            self.backbone = build(self.cfg)
            outputs = _run(self.backbone, self.in_channels, size)
        bare = torch.is_tensor(outputs)
        if bare:
            outputs = (outputs,)
        if not isinstance(outputs, (tuple, list)):
            return Maps((type(outputs).__name__,), size, bare=True)
        shapes = (tuple(x.shape) if torch.is_tensor(x) else _kind(x) for x in outputs)
        return Maps(tuple(shapes), size, bare)

    def try_other_channels(self, size: tuple[int, int]) -> bool:
        """Return whether it runs on images with the channels of its first convolution.

        For classes that have no argument for it, or another name; if it does, so does
        every forward from now on.
        """
        before = self.in_channels
        convolutions = (m for m in self.backbone.modules() if isinstance(m, nn.Conv2d))
        first = next(convolutions, None)
        if first is None or first.in_channels == before:
            return False
        self.in_channels = first.in_channels
        for candidate in (size, (32, 32), (64, 64)):
            try:
                self.forward(candidate)
            except Exception:
                continue
            return candidate == size
        self.in_channels = before
        return False


def _kind(output: object) -> str:
    return type(output).__name__


def _asks_for_values(backbone: nn.Module, error: Exception) -> bool:
    on_meta = any(p.is_meta for p in backbone.parameters())
    # `item()`, `numpy()`, a kernel that is missing, a tensor made on the CPU: in each
    # of these messages torch names the device.
    return on_meta and (
        isinstance(error, NotImplementedError) or 'meta' in str(error).lower()
    )


def _run(backbone: nn.Module, in_channels: int, size: tuple[int, int]) -> object:
    # `.train()` of many OpenMMLab backbones returns None: no chaining here.
    modes = [(module, module.training) for module in backbone.modules()]
    device = next((p.device for p in backbone.parameters()), torch.device('cpu'))
    backbone.eval()
    try:
        with torch.no_grad(), ShapesAtOnce():
            return backbone(torch.zeros(1, in_channels, *size, device=device))
    finally:
        for module, training in modes:
            module.training = training


Result = TypeVar('Result')


def multiply_adds(run: Callable[[], Result]) -> tuple[int, Result]:
    """Multiply-adds of the convolutions and matrix products in ``run``.

    They are what the OpenMMLab libraries and most papers call FLOPs.

    Args:
        run: Does a forward; on the meta device it takes no time.

    Returns:
        The number, the same on every device, and what ``run`` returned.
    """
    with _attention_of_products(), FlopCounterMode(display=False) as counter:
        result = run()
    # It counts a multiply-add as two.
    return counter.get_total_flops() // 2, result


@contextmanager
def _attention_of_products() -> Iterator[None]:
    """Attention as matrix products: torch 2.14 does not count its fused kernels."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
