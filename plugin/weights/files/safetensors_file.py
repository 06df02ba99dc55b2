"""safetensors files, and messages on damaged ones."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from plugin.weights.files.refusal import DamagedFile

# The format's own limit on the table of contents (safetensors 0.8, tensor.rs).
_LONGEST_HEADER = 100_000_000


def is_safetensors(path: Path) -> bool:
    """Return whether a file is in this format, by its name or by its first bytes.

    It begins with the length of a JSON object, in 8 bytes, and that object.
    """
    if path.suffix == '.safetensors':
        return True
    with path.open('rb') as file:
        head = file.read(9)
    length = int.from_bytes(head[:8], 'little')
    return head[8:] == b'{' and length <= _LONGEST_HEADER


def read_safetensors(path: Path, values: bool = True) -> dict[str, Tensor]:
    """Read the tensors of a file by name, on the CPU.

    Args:
        path: The file.
        values: False reads names, shapes and dtypes alone: the tensors are on meta.

    Raises:
        DamagedFile: It is not a whole safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    size = path.stat().st_size
    if not size:
        raise DamagedFile('is empty (0 bytes)')
    with path.open('rb') as file:
        head = file.read(40)
    length = int.from_bytes(head[:8], 'little')
    if head[8:9] != b'{':
        raise DamagedFile(f'is not a safetensors file: it begins with {head!r}')
    if length > _LONGEST_HEADER:
        raise DamagedFile(
            f'is not a sound safetensors file: it declares a header of {length:,} '
            f'bytes, and {_LONGEST_HEADER:,} are the most'
        )
    try:
        return load_file(path) if values else _on_meta(path)
    except SafetensorError as error:
        raise DamagedFile(f'is truncated or damaged ({size} bytes): {error}') from error


def _on_meta(path: Path) -> dict[str, Tensor]:
    from safetensors import safe_open

    tensors = {}
    # By safetensors' name of a dtype; what torch calls it shows in a tensor of it.
    dtypes: dict[str, torch.dtype] = {}
    with safe_open(path, framework='pt') as file:
        for name in file.keys():  # noqa: SIM118, it is no dict
            entry = file.get_slice(name)
            code, shape = entry.get_dtype(), entry.get_shape()
            if code not in dtypes:
                dtypes[code] = (entry[:0] if shape else file.get_tensor(name)).dtype
            tensors[name] = torch.empty(shape, dtype=dtypes[code], device='meta')
    return tensors


def read_safetensors_bytes(contents: bytes) -> dict[str, Tensor]:
    """Read the tensors of a file that is in memory, likewise.

    Raises:
        DamagedFile: It is not a whole safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(contents)
    except SafetensorError as error:
        raise DamagedFile(f'is truncated or damaged: {error}') from error


def read_metadata(path: Path) -> dict[str, str]:
    """Read the texts that a safetensors file carries besides its tensors."""
    from safetensors import safe_open

    with safe_open(path, framework='pt') as file:
        return file.metadata() or {}
