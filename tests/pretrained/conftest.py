"""Fixtures for pretrained weights.

``audited``: the audit is on, as after importing a task package.
``lines``: what it has logged, one record an entry.
``build``: a backbone from a config, as a library builds it.
"""

import logging

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.model import BaseModule

from plugin.checkpoint import allow_mmengine_checkpoints
from plugin.pretrained import watch_initialization


@pytest.fixture(autouse=True)
def audited(monkeypatch):
    allow_mmengine_checkpoints()
    watch_initialization()
    # mmengine writes a line per parameter where it has no log file.
    monkeypatch.setattr(BaseModule, '_dump_init_info', lambda self: None)
    monkeypatch.delenv('MM_BACKBONE_MIN_LOADED', raising=False)


@pytest.fixture
def lines():
    records = []
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: (
        records.append(record) if 'parameters are from' in record.getMessage() else None
    )
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


@pytest.fixture
def build():
    """``build(type, checkpoint=None, prefix=None, **args)``, initialized."""
    from mmengine.registry import MODELS

    def make(type_, checkpoint=None, prefix=None, min_loaded=None, **args):
        if checkpoint is not None:
            cfg = dict(type='Pretrained', checkpoint=str(checkpoint))
            if prefix is not None:
                cfg['prefix'] = prefix
            if min_loaded is not None:
                cfg['min_loaded'] = min_loaded
            args['init_cfg'] = cfg
        torch.manual_seed(0)
        module = MODELS.build(ConfigDict(type=type_, **args))
        module.init_weights()
        module.eval()
        return module

    return make
