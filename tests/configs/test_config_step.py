"""The ready configs of foundation models pass the training step of `check --step`."""

import re
from copy import deepcopy

import pytest
from ready_configs import READY, load, with_tiny_vit

from plugin.check import examine

FOUNDATION = [n for n in READY if re.search(r'_(dinov\d|vit|timm-vit)-', n)]


@pytest.mark.slow
@pytest.mark.wide
@pytest.mark.parametrize('name', FOUNDATION)
def test_a_training_step_finds_nothing(name, tmp_path):
    cfg = deepcopy(load(name))
    with_tiny_vit(cfg.model)
    path = tmp_path / 'tiny.py'
    cfg.dump(path)
    found = examine(str(path), step=True)
    # The file that is written has no comment that says so on purpose.
    assert [p for p in found.problems if p.rule != 'freeze'] == []
    assert found.not_judged == []
