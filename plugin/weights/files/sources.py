"""Checkpoints from every address that :mod:`plugin.weights.files.loaders` has."""

from __future__ import annotations

from mmengine.runner import CheckpointLoader

from plugin.weights.files.refusal import check_holds_weights
from plugin.weights.files.safe_loading import allow_mmengine_checkpoints


def register_sources() -> None:
    """Make mmengine load from all of them, safely. Doing it again is harmless."""
    allow_mmengine_checkpoints()


def read_checkpoint(source: str, device: str = 'cpu') -> dict:
    """Read a checkpoint from any address.

    Args:
        source: The address.
        device: ``'meta'`` has names and shapes, and reads nearly nothing of a file.

    Raises:
        CheckpointError: It is refused, or is none.
        OSError: It cannot be read or downloaded.
    """
    allow_mmengine_checkpoints()
    source = str(source)
    checkpoint = CheckpointLoader.load_checkpoint(source, device, logger='silent')
    check_holds_weights(checkpoint, source)
    return checkpoint
