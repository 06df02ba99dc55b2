"""Loading what mmengine wrote, with torch's safe loader and with no way round it.

mmengine 0.10.7 doesn't say ``weights_only``. Since torch 2.6 that refuses mmengine's
own checkpoints, and three ways past the safe loader stay open: ``http(s)://`` goes
through torch.hub, whose default is still ``weights_only=False``, and so do the schemes
built on it; the environment variable ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` turns every
default off; and resuming executes the config text that the file carries.
"""

from __future__ import annotations

import errno
import functools
import os
import pickle
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlparse

import torch
from mmengine.runner import CheckpointLoader
from torch.serialization import add_safe_globals, clear_safe_globals, get_safe_globals

from plugin.weights.files.config_text import drop_code
from plugin.weights.files.safe_globals import SAFE_GLOBALS, CheckpointError

__all__ = ['CheckpointError', 'allow_mmengine_checkpoints', 'safe_loading']

FORCE_SAFE, FORCE_UNSAFE = (
    'TORCH_FORCE_WEIGHTS_ONLY_LOAD',
    'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD',
)


def allow_mmengine_checkpoints() -> None:
    """Let this process load mmengine's checkpoints under ``weights_only=True``.

    ``torch.load`` then takes them, and everything that loads through mmengine
    (``load_from``, ``resume``, ``init_cfg``) is held to the safe loader, whatever the
    scheme, and answers with one :class:`CheckpointError` where a file is refused or
    unreadable. Doing it again is harmless, and covers schemes registered since.

    numpy's globals are left to those who have listed them already, except in loads
    through mmengine.

    Raises:
        RuntimeError: torch is older than 2.6.
    """
    if tuple(map(int, torch.__version__.split('.')[:2])) < (2, 6):
        raise RuntimeError(
            f'torch {torch.__version__} is installed, but plugin needs torch >= 2.6: '
            "older ones can't load mmengine's checkpoints safely; "
            'pip install -U torch torchvision'
        )
    taken = {_global_name(g) for g in get_safe_globals() if g not in SAFE_GLOBALS}
    if not any(name in taken for _, name in SAFE_GLOBALS):
        add_safe_globals(list(SAFE_GLOBALS))
    for prefix, loader in list(CheckpointLoader._schemes.items()):
        if not hasattr(loader, '_safe'):
            CheckpointLoader.register_scheme(prefix, _safely(loader), force=True)


def _safely(loader: Callable) -> Callable:
    """``loader`` of a CheckpointLoader scheme, under the safe loader."""

    @functools.wraps(loader)
    def load(filename: str, map_location: object = None) -> dict:
        try:
            with safe_loading():
                checkpoint = loader(filename, map_location)
        except Exception as error:
            reason = _reason(filename, error)
            if reason is None:
                raise
            # `from None` hides torch's own text, which advises weights_only=False.
            path = _local_path(filename)
            kept = (
                '' if path is None or Path(filename).exists() else f' (kept at {path})'
            )
            raise CheckpointError(f'{filename}{kept} {reason}') from None
        if not isinstance(checkpoint, dict):
            raise CheckpointError(
                f'{filename} holds a {type(checkpoint).__name__}, not a dict of weights'
            )
        drop_code(checkpoint, filename)
        return checkpoint

    load._safe = True
    return load


@contextmanager
def safe_loading() -> Iterator[None]:
    """Force ``weights_only=True`` in every torch.load, with our globals alone.

    Of two objects listed under one name torch takes either, so a name of ours that
    somebody else has listed as well is set aside meanwhile.
    """
    listed = get_safe_globals()
    ours = {name for _, name in SAFE_GLOBALS}
    variables = {
        name: os.environ.pop(name, None) for name in (FORCE_SAFE, FORCE_UNSAFE)
    }
    os.environ[FORCE_SAFE] = '1'
    clear_safe_globals()
    add_safe_globals([g for g in listed if _global_name(g) not in ours])
    add_safe_globals(list(SAFE_GLOBALS))
    try:
        yield
    finally:
        clear_safe_globals()
        add_safe_globals(listed)
        del os.environ[FORCE_SAFE]
        os.environ.update({k: v for k, v in variables.items() if v is not None})


def _global_name(safe_global: object) -> str:
    if isinstance(safe_global, tuple):
        return safe_global[1]
    return f'{safe_global.__module__}.{safe_global.__qualname__}'


def _reason(filename: str, error: Exception) -> str | None:
    """What is wrong with the file, as the end of a sentence; None if nothing is."""
    if isinstance(error, CheckpointError):
        return f'is refused: {error}'
    path = _local_path(filename)
    if path is not None and path.is_dir():
        endings = ('.safetensors', '.pth', '.pt', '.bin')
        found = [p.name for end in endings for p in sorted(path.glob(f'*{end}'))]
        names = ', '.join(found) or 'there is none'
        return f'is a folder; name a checkpoint in it ({names})'
    text = str(error)
    if 'TorchScript' in text:
        return 'is a TorchScript archive, not a checkpoint'
    if isinstance(error, pickle.UnpicklingError) and (
        names := _refused_names(path, text)
    ):
        return (
            f'is refused: it asks for {", ".join(names)}. A checkpoint needs weights, '
            'numbers and text alone, and loading anything else can run any code. '
            "Don't use it unless you know who made it; if it is your own, save it "
            'again without those objects, or, if they are classes that only hold data, '
            'list them with torch.serialization.add_safe_globals in a module of '
            'custom_imports'
        )
    if path is None or not _is_the_files_fault(error):
        return None
    with path.open('rb') as file:
        head = file.read(40)
    if not head:
        return 'is empty (0 bytes)'
    # torch.save writes a zip archive; before torch 1.6 it was a bare pickle.
    if not head.startswith((b'PK', b'\x80')):
        return f'is not a checkpoint: it begins with {head!r}'
    if isinstance(error, (EOFError, OSError, RuntimeError)):
        return f'is truncated or damaged ({path.stat().st_size} bytes)'
    return f'is damaged: {_first_line(error)}'


def _is_the_files_fault(error: Exception) -> bool:
    if isinstance(error, OSError):
        # A zip archive without its end makes torch seek to before the beginning.
        return error.errno == errno.EINVAL
    if isinstance(error, RuntimeError):
        return re.search('zip archive|PytorchStream|corrupted', str(error)) is not None
    content = (ValueError, TypeError, AttributeError, LookupError, EOFError)
    return isinstance(error, (pickle.UnpicklingError, *content))


def _refused_names(path: Path | None, text: str) -> list[str]:
    try:
        with safe_loading():
            return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:
        # Not a file of its own, or not of today's format: torch names the first one.
        return re.findall(r'GLOBAL (\S+)', text)[:1]


def _local_path(filename: str) -> Path | None:
    """The file itself, or where torch.hub keeps the download."""
    path = Path(filename).expanduser()
    if path.exists():
        return path
    path = Path(torch.hub.get_dir(), 'checkpoints', Path(urlparse(filename).path).name)
    return path if path.is_file() else None


def _first_line(error: Exception) -> str:
    # torch raises its advice `from None`; the cause is what its loader said.
    if isinstance(error, pickle.UnpicklingError) and error.__context__:
        error = error.__context__
    return f'{type(error).__name__}: {error}'.splitlines()[0]
