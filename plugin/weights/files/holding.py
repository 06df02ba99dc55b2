"""Replacements for functions of mmengine and torch: no load is unsafe.

Each function here takes an original and returns what replaces it;
:mod:`plugin.weights.files.safe_loading` puts them in and takes them out.

A loader that a user has registered with mmengine calls ``torch.load`` by itself, and
so do some of mmengine's own. Within a load through mmengine, and only there, that call
is answered by the safe reading of :mod:`plugin.weights.files.reading`. Whether it is
within one is a context variable, so each thread and each task has its own answer.

That is why ``torch.load`` is replaced at all, once, by a function that passes on every
other call as it came. The other ways change what all threads see while a load is going
on: the environment variable forces ``weights_only`` on everybody, the list of allowed
objects is one for the process, and to exchange ``torch.load`` for each load and put it
back is a race between two of them.
"""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from mmengine.runner import Runner

from plugin.weights.files.reading import read_path, read_pickled
from plugin.weights.files.refusal import (
    CheckpointError,
    DamagedFile,
    check_holds_weights,
    printable,
    sentence_about,
)
from plugin.weights.files.resume_state import check_resumable, drop_orders

_held: ContextVar[bool] = ContextVar('held', default=False)
_resuming: ContextVar[bool] = ContextVar('resuming', default=False)


@contextmanager
def holding() -> Iterator[None]:
    """Answer each ``torch.load`` of this thread or task by the safe reading."""
    token = _held.set(True)
    try:
        yield
    finally:
        _held.reset(token)


def held_torch_load(original: Callable) -> Callable:
    """``torch.load``, which within a load through mmengine reads safely."""

    @functools.wraps(original)
    def load(f: object, map_location: object = None, *args: object, **kwargs: object):
        if not _held.get():
            return original(f, map_location, *args, **kwargs)
        # Whatever is said of weights_only, pickle_module and mmap.
        return read_any(f, map_location, kwargs.get('encoding', 'utf-8'))

    return load


def read_any(f: object, map_location: object, encoding: str = 'utf-8') -> object:
    """What ``torch.load`` would return of a path or of a file object.

    Raises:
        CheckpointError: It is refused, damaged, or no checkpoint.
    """
    try:
        if isinstance(f, (str, os.PathLike)):
            return read_path(Path(f), map_location)
        return read_pickled(io.BytesIO(f.read()), map_location, encoding)
    except DamagedFile as error:
        name = f if isinstance(f, (str, os.PathLike)) else getattr(f, 'name', None)
        raise CheckpointError(
            sentence_about(name or 'a file object', error)
        ) from error.__cause__


def held_load_checkpoint(original: Callable) -> Callable:
    """``CheckpointLoader.load_checkpoint``, for the loader of every scheme.

    Errors name the file, and what a file orders the run to do is left out of it. The
    loaders stay in mmengine's table as they are.
    """

    @functools.wraps(original)
    def load_checkpoint(
        cls: type,
        filename: str,
        map_location: object = None,
        logger: object = 'current',
    ) -> object:
        try:
            with holding():
                checkpoint = original(cls, filename, map_location, logger)
        except DamagedFile as error:
            raise CheckpointError(sentence_about(filename, error)) from error.__cause__
        except CheckpointError as error:
            if printable(filename) in str(error):
                raise
            # A loader has read another file than the one of this address.
            raise CheckpointError(f'{filename}: {error}') from error.__cause__
        if not isinstance(checkpoint, dict):
            return checkpoint
        drop_orders(checkpoint, str(filename))
        if _resuming.get():
            _resuming.set(False)  # What hooks load afterwards is not resumed from.
            check_resumable(checkpoint, str(filename))
        return checkpoint

    return load_checkpoint


def held_weights(original: Callable) -> Callable:
    """``mmengine.runner.checkpoint._load_checkpoint``, which reads for a model.

    ``CheckpointLoader`` itself may give something else: mmseg's VPD reads a tensor.
    """

    @functools.wraps(original)
    def _load_checkpoint(filename: str, *args: object, **kwargs: object) -> dict:
        checkpoint = original(filename, *args, **kwargs)
        check_holds_weights(checkpoint, filename)
        return checkpoint

    return _load_checkpoint


def held_resume(original: Callable) -> Callable:
    """``Runner.resume``, which says what a file lacks."""

    @functools.wraps(original)
    def resume(self: Runner, filename: str, *args: object, **kwargs: object) -> None:
        if not str(filename).strip():
            # mmengine 0.10.7 (runner/checkpoint.py) passes on what it finds there.
            pointer = Path(self.work_dir, 'last_checkpoint')
            found = ', '.join(sorted(p.name for p in pointer.parent.glob('*.pth')))
            raise CheckpointError(
                f'{pointer} is empty, so it names no checkpoint to resume from, as '
                'after a full disk or a power cut; name one yourself (there is '
                f'{found or "none"})'
            )
        token = _resuming.set(True)
        try:
            return original(self, filename, *args, **kwargs)
        finally:
            _resuming.reset(token)

    return resume
