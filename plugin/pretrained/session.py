"""What is loaded during one initialization, judged when that is over.

Only then is it known what has stayed: a list of initializers, or a parent, may write
over weights that have been loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from plugin.pretrained.audit import conclude
from plugin.pretrained.loading import Loading

# Of this process: models are not initialized in two threads at once.
_loadings: list[Loading] | None = None


@contextmanager
def session(model: nn.Module) -> Iterator[None]:
    """The initialization of ``model``; one inside of another belongs to that.

    Raises:
        PretrainedError: At the end, if a loading falls short.
    """
    global _loadings
    if _loadings is not None:
        yield
        return
    loadings = _loadings = []
    try:
        yield
    finally:
        _loadings = None
    names = {module: name for name, module in model.named_modules()}
    for loading in loadings:
        conclude(loading, names.get(loading.module, ''))


def record(loading: Loading) -> None:
    """Add a loading to the session; without one it is judged at once."""
    if _loadings is None:
        conclude(loading, '')
    else:
        _loadings.append(loading)
