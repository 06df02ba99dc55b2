"""The operators of mmcv-lite-ops, unless a compiled mmcv has its own."""

import pytest
import torch
from mmcv import _ext


@pytest.fixture(autouse=True)
def _overlay() -> None:
    if not _ext.__file__.endswith('.py'):
        pytest.skip('needs mmcv-lite-ops, but a compiled mmcv._ext is installed')
    torch.manual_seed(0)
