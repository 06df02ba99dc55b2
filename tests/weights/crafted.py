"""Checkpoints made by hand: what a pickle can be told to do, and how it is changed."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


class Call:
    """Pickles as a call of ``function``; ``state`` is then set on the result."""

    def __init__(self, function: Callable, *args: Any, state: Any = None) -> None:
        self.parts = (function, args) if state is None else (function, args, state)

    def __reduce__(self) -> tuple:
        return self.parts


def makes_folder(path: Path) -> Call:
    """An attack: a loader that runs what it unpickles makes the folder."""
    return Call(os.mkdir, str(path))


def save(path: Path, **contents: Any) -> Path:
    """A checkpoint with one tensor, and ``contents`` besides."""
    torch.save({'state_dict': {'linear.weight': torch.ones(1, 2)}, **contents}, path)
    return path


def edit_pickle(path: Path, edit: Callable[[bytes], bytes]) -> None:
    """Rewrite the pickle inside of a checkpoint by a function of its bytes."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_STORED) as archive:
        for name, record in records.items():
            archive.writestr(name, edit(record) if name.endswith('.pkl') else record)
