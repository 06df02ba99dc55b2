"""How much a forward calculates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

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
