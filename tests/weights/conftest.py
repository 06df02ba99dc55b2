"""Fixtures for pretrained weights.

``audited``: the audit is on, as after importing a task package.
``lines``: what it has logged, one record an entry.
``warnings``: all that was logged at WARNING, as texts.
``build``: a backbone from a config, as a library builds it.
``server``: files by HTTP from this machine, with torch.hub's cache elsewhere.
"""

import http.server
import logging
import threading

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.model import BaseModule

from plugin.weights import patches


@pytest.fixture(autouse=True)
def audited(monkeypatch):
    patches.install()
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
    # It keeps answers from while a command had logging off; setLevel drops them.
    logger.setLevel(logger.level)
    logger.addHandler(handler)
    yield records
    logger.removeHandler(handler)


@pytest.fixture
def warnings():
    """Texts of what is logged at WARNING."""
    records = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: records.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    # It keeps answers from while a command had logging off; setLevel drops them.
    logger.setLevel(logger.level)
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


class Served:
    """A local server: ``files`` by name, of which those in ``cut`` end half-way."""

    def __init__(self, address, cache):
        self.address, self.cache = address, cache
        self.files, self.cut, self.asked = {}, set(), []

    def url(self, name):
        return f'{self.address}/{name}'

    def kept(self):
        """Return what lies in the cache."""
        return sorted(p.name for p in self.cache.rglob('*') if p.is_file())


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.setattr('torch.hub._hub_dir', None)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.lstrip('/')
            served.asked.append(name)
            if name not in served.files:
                self.send_error(404)
                return
            contents = served.files[name]
            self.send_response(200)
            self.send_header('Content-Length', str(len(contents)))
            self.end_headers()
            if name in served.cut:
                contents = contents[: len(contents) // 2]
            self.wfile.write(contents)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as httpd:
        served = Served(
            f'http://127.0.0.1:{httpd.server_address[1]}', tmp_path / 'torch'
        )
        thread = threading.Thread(target=httpd.serve_forever, args=(0.05,))
        thread.start()
        yield served
        httpd.shutdown()
        thread.join()
