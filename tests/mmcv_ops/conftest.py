"""The operators of mmcv-lite-ops, unless a compiled mmcv has its own."""

import pytest
import torch
from mmcv import _ext


@pytest.fixture(autouse=True)
def _overlay(monkeypatch: pytest.MonkeyPatch) -> None:
    if not _ext.__file__.endswith('.py'):
        pytest.skip('needs mmcv-lite-ops, but a compiled mmcv._ext is installed')
    torch.manual_seed(0)
    # Of convolutions on a GPU, which are compared with others.
    monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', False)


@pytest.fixture
def nondet_tol(device: str) -> float:
    """Return gradcheck's: a GPU adds up the gradients of one place in any order."""
    return 0.0 if device == 'cpu' else 1e-9
