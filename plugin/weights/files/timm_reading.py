"""timm reads files by itself: safely, whole ones only, and with the file's name.

timm 1.0.31 asks for ``weights_only``, which leaves three things open. What it reads
from a URL it reads again without it where a TypeError comes up (models/_builder.py,
``load_pretrained``). Its errors advise to retry with ``weights_only=False``, and do not
name the file. And it changes torch's list of safe objects while it reads
(models/_helpers.py), for all threads.

All users of timm in the process get this: the ``TIMMBackbone`` of mmpretrain, of mmseg
and ours, with ``pretrained=True`` or ``checkpoint_path``. Each function here takes an
original and returns what replaces it.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlparse

import torch

from plugin.weights.files.download import download_checked
from plugin.weights.files.reading import read_path
from plugin.weights.files.refusal import (
    CheckpointError,
    DamagedFile,
    check_holds_weights,
    sentence_about,
)


def safe_timm_load(original: Callable) -> Callable:
    """``timm.models._helpers._torch_load``, which reads every pickle."""

    @functools.wraps(original)
    def _torch_load(
        checkpoint_path: str,
        map_location: str | torch.device = 'cpu',
        weights_only: bool = True,
        mmap: bool = False,
    ) -> object:
        if not weights_only:
            # timm itself never asks for this: it is the wish of who calls.
            mapped = dict(mmap=True) if mmap else {}  # Older than 1.0.31 have none.
            return original(checkpoint_path, map_location, weights_only, **mapped)
        return _read(Path(checkpoint_path), str(checkpoint_path), map_location)

    return _torch_load


def whole_timm_url(original: Callable) -> Callable:
    """``torch.hub.load_state_dict_from_url`` for timm's ``load_pretrained``."""

    @functools.wraps(original)
    def load_state_dict_from_url(
        url: str,
        model_dir: str | None = None,
        map_location: object = None,
        progress: bool = True,
        check_hash: bool = False,
        file_name: str | None = None,
        weights_only: bool = True,
    ) -> object:
        folder = Path(model_dir or Path(torch.hub.get_dir(), 'checkpoints'))
        path = folder / (file_name or Path(urlparse(url).path).name)
        if not path.exists():
            print(f'Downloading: "{url}" to {path}', file=sys.stderr)
            found = torch.hub.HASH_REGEX.search(path.name) if check_hash else None
            download_checked(url, path, found and found[1], progress)
        return _read(path, f'{url} (kept at {path})', map_location)

    return load_state_dict_from_url


def whole_timm_download(original: Callable) -> Callable:
    """``torch.hub.download_url_to_file`` for timm's ``download_cached_file``."""
    return functools.wraps(original)(download_checked)


def _read(path: Path, name: str, map_location: object) -> object:
    try:
        checkpoint = read_path(path, map_location)
        check_holds_weights(checkpoint, name)
        return checkpoint
    except DamagedFile as error:
        raise CheckpointError(sentence_about(name, error, path)) from error.__cause__


REPLACEMENTS = (
    ('timm.models._helpers', '_torch_load', safe_timm_load),
    ('timm.models._hub', '_torch_load', safe_timm_load),
    ('timm.models._hub', 'download_url_to_file', whole_timm_download),
    ('timm.models._builder', 'load_state_dict_from_url', whole_timm_url),
)
"""Modules of timm, names in them, and what makes the replacement from the original."""

_lock = threading.RLock()
_replaced: dict[tuple[str, str], tuple[object, object]] = {}


def allow_timm_files() -> None:
    """Let timm read files safely from now on, if it has been imported.

    Doing it again is harmless.
    """
    with _lock:
        for module, name, make in REPLACEMENTS:
            if module in sys.modules and (module, name) not in _replaced:
                original = getattr(sys.modules[module], name)
                new = make(original)
                setattr(sys.modules[module], name, new)
                _replaced[module, name] = original, new


def disallow_timm_files() -> None:
    """Put back what :func:`allow_timm_files` has replaced."""
    with _lock:
        for (module, name), (original, new) in _replaced.items():
            if getattr(sys.modules[module], name) is new:
                setattr(sys.modules[module], name, original)
        _replaced.clear()
