"""How much a forward calculates."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from torch.utils.flop_counter import FlopCounterMode

Result = TypeVar('Result')


def multiply_adds(run: Callable[[], Result]) -> tuple[int, Result]:
    """Multiply-adds of the convolutions and matrix products in ``run``.

    They are what the OpenMMLab libraries and most papers call FLOPs.

    Args:
        run: Does a forward; on the meta device it takes no time.

    Returns:
        The number, and what ``run`` returned.
    """
    with FlopCounterMode(display=False) as counter:
        result = run()
    # It counts a multiply-add as two.
    return counter.get_total_flops() // 2, result
