"""The weights of a file that the safe loader refuses, in a file of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from plugin.align.conversion import write_weights
from plugin.weights.files.contents import weights_of
from plugin.weights.files.reading import read_weights_alone
from plugin.weights.files.refusal import (
    CheckpointError,
    DamagedFile,
    check_holds_weights,
    sentence_about,
    shortened,
)
from plugin.weights.files.whole_file import whole_file


def plain_copy(source: str, out: Path, force: bool) -> tuple[int, str]:
    """Write the tensors of a training state alone. Nothing in it is run.

    Args:
        source: The file.
        out: A .pth or .safetensors file to write, whole or not at all.
        force: Replace one that is there.

    Returns:
        The number of tensors, and what was beside them, as text.

    Raises:
        CheckpointError: The file is damaged, or has no weights by name.
        OSError: It can't be read, or ``out`` can't be written.
    """
    if out.suffix not in ('.pth', '.safetensors'):
        raise ValueError(f'{out} must end in .pth or .safetensors')
    try:
        contents = read_weights_alone(Path(source).expanduser())
    except DamagedFile as error:
        raise CheckpointError(sentence_about(source, error)) from error.__cause__
    check_holds_weights(contents, source)
    weights = weights_of(contents)
    if not weights:
        raise CheckpointError(
            f'{source} has no weights by name; it has '
            f'{shortened(map(str, contents)) or "nothing"}'
        )
    beside = [
        str(key)
        for key, value in contents.items()
        if key not in weights and not _holds(value, weights)
    ]
    with whole_file(out, replace=force) as partial:
        write_weights(partial, weights, {'source': source})
    return len(weights), shortened(beside)


def _holds(value: object, weights: Mapping) -> bool:
    if not isinstance(value, Mapping):
        return False
    return any(value.get(name) is tensor for name, tensor in weights.items())
