"""No network while a config is checked: some constructors download what they need."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch


@contextmanager
def offline() -> Iterator[None]:
    """Within it every connection fails at once."""

    def connect(self: socket.socket, address: Any) -> None:
        raise OSError(f'check uses no network, and {address} was asked for')

    with patch.object(socket.socket, 'connect', connect):
        yield
