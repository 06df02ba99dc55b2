"""``device``: every device that this machine has; CUDA is skipped where there is none.

No GPU has run these tests yet: on CUDA the operators are written for any device, and
whoever has one sees here whether they are.
"""

import pytest
import torch
from mmcv import _ext


@pytest.fixture(
    params=[
        'cpu',
        pytest.param(
            'cuda',
            marks=pytest.mark.skipif(
                not torch.cuda.is_available(), reason='needs a CUDA device'
            ),
        ),
    ]
)
def device(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(autouse=True)
def _overlay() -> None:
    if not _ext.__file__.endswith('.py'):
        pytest.skip('needs mmcv-lite-ops, but a compiled mmcv._ext is installed')
    torch.manual_seed(0)
