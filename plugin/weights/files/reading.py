"""Files that ``torch.save`` or safetensors has written, read without running them.

What a pickle may ask for is torch's own list, what the user has listed with
``torch.serialization.add_safe_globals``, and the stand-ins for what mmengine writes.
The list is put together for one load and seen by that load alone: nothing of the
process is changed, so loads in other threads neither notice nor disturb it.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import torch
from torch import Tensor
from torch.serialization import default_restore_location, get_safe_globals

from plugin.weights import upstream
from plugin.weights.files.archive import Archive
from plugin.weights.files.diagnosis import check_format, damage, refusal
from plugin.weights.files.plain import plain
from plugin.weights.files.refusal import DamagedFile
from plugin.weights.files.safe_globals import SAFE_GLOBALS, Leftover
from plugin.weights.files.safetensors_file import is_safetensors, read_safetensors

_ENDINGS = ('.safetensors', '.pth', '.pt', '.bin')


def read_path(path: Path, map_location: object = None) -> object:
    """Read the contents of a checkpoint file.

    Args:
        path: Its contents say what it is, not its name.
        map_location: As for ``torch.load``.

    Raises:
        DamagedFile: It is refused, damaged, or no checkpoint.
        OSError: It can't be read.
    """
    if path.is_dir():
        found = [p.name for end in _ENDINGS for p in sorted(path.glob(f'*{end}'))]
        names = ', '.join(found) or 'there is none'
        raise DamagedFile(f'is a folder; name a checkpoint in it ({names})')
    if is_safetensors(path):
        if str(map_location) == 'meta':
            return read_safetensors(path, values=False)
        return moved(read_safetensors(path), map_location)
    with _NoDescriptor(io.FileIO(path)) as file:
        return read_pickled(file, map_location)


def read_weights_alone(path: Path) -> object:
    """Read the contents of a checkpoint file, without what is not allowed in it.

    Nothing is run for it: each other class or function that the file asks for is
    answered by :class:`Leftover`.

    Raises:
        DamagedFile: It is damaged, no checkpoint, or asks for what torch blocks.
        OSError: It can't be read.
    """
    if path.is_dir() or is_safetensors(path):
        return read_path(path)
    with _NoDescriptor(io.FileIO(path)) as file:
        return read_pickled(file, leave_out=True)


def read_pickled(
    file: BinaryIO,
    map_location: object = None,
    encoding: str = 'utf-8',
    leave_out: bool = False,
) -> object:
    """What ``torch.save`` has written, with torch's weights-only unpickler.

    Args:
        file: Must seek; read from its beginning.
        map_location: As for ``torch.load``.
        encoding: Of texts that Python 2 has written.
        leave_out: Put a :class:`Leftover` in the place of what is not allowed.

    Raises:
        DamagedFile: It is refused, damaged, or no checkpoint.
        OSError: It can't be read.
    """
    is_zip, size = check_format(file)
    map_location = _checked_location(map_location)
    unpickler = upstream.own_unpickler(_listed())
    if leave_out:
        upstream.resolve_all(unpickler, Leftover)
    upstream.torchs_globals(unpickler)['torch._utils._rebuild_sparse_tensor'] = _sparse
    archive = None
    try:
        archive = Archive(file, size) if is_zip else None
        load = upstream.load_archive if is_zip else upstream.load_legacy
        modules = _checked_unpickler(unpickler, archive, size)
        contents = load(archive or file, map_location, modules, encoding)
        modules.check_storages()
        return plain(contents, size)
    except _NotTheFiles as error:
        raise error.__cause__ from None
    except DamagedFile:
        raise
    except pickle.UnpicklingError as error:
        file.seek(0)
        pickled = io.BytesIO(archive.get_record('data.pkl')) if archive else file
        allowed = upstream.allowed_names(unpickler)
        raise refusal(pickled, allowed, error) from None
    except Exception as error:
        reason = damage(error, size)
        if reason is None:
            raise
        raise DamagedFile(reason) from error


def moved(weights: dict[str, Tensor], map_location: object) -> dict[str, Tensor]:
    """Return ``weights`` on the device that ``map_location`` names, if it names one."""
    if not isinstance(map_location, (str, torch.device)):
        return weights
    return {name: tensor.to(map_location) for name, tensor in weights.items()}


class _NoDescriptor(io.BufferedReader):
    """A file whose descriptor nobody gets: see :func:`upstream.load_legacy`."""

    def fileno(self) -> int:
        raise io.UnsupportedOperation('fileno')


def _listed() -> list[tuple[Callable, str]]:
    """Return what the user allows and our stand-ins, first where names meet."""
    own = {name for _, name in SAFE_GLOBALS}
    theirs = [
        entry if isinstance(entry, tuple) else (entry, _name_of(entry))
        for entry in get_safe_globals()
    ]
    return [*(entry for entry in theirs if entry[-1] not in own), *SAFE_GLOBALS]


def _name_of(allowed: Callable) -> str:
    return f'{allowed.__module__}.{allowed.__qualname__}'


def _checked_unpickler(
    unpickler: object, archive: Archive | None, size: int
) -> SimpleNamespace:
    """Return a pickle module for torch: its own, which checks storages first."""
    claimed: dict[object, tuple[object, int]] = {}

    class Unpickler(unpickler.Unpickler):
        """Holds the size that a pickle claims for a storage against the file's."""

        @property
        def persistent_load(self) -> Callable:
            return self._load_storage

        @persistent_load.setter
        def persistent_load(self, theirs: Callable) -> None:
            def load_storage(claim: tuple) -> object:
                _, kind, key, _, numel, *_ = claim
                itemsize = 1 if kind is torch.UntypedStorage else kind.dtype.itemsize
                if archive is not None:
                    archive.check_size(f'data/{key}', numel * itemsize)
                elif not 0 <= numel * itemsize <= size:
                    raise DamagedFile(
                        f'is damaged: it wants {numel * itemsize:,} bytes for a '
                        f'tensor, and has {size:,} in all'
                    )
                storage = theirs(claim)
                claimed[key] = storage, numel * itemsize
                return storage

            self._load_storage = load_storage

    def load(file: BinaryIO, **settings: str) -> object:
        """One of the pickles around the contents, in the format before torch 1.6."""
        value = unpickler.load(file, **settings)
        # The last one lists the storages that follow. Others would stay unfilled.
        if claimed and not claimed.keys() <= set(value):
            raise DamagedFile('is damaged: it lacks the contents of a tensor')
        return value

    def check_storages() -> None:
        """Raise where a tensor has made its storage grow, as those on meta can."""
        for storage, size in claimed.values():
            if upstream.bytes_of(storage) > size:
                raise DamagedFile(
                    f'is damaged: a tensor reaches beyond the {size:,} bytes of its '
                    'contents'
                )

    return SimpleNamespace(
        Unpickler=Unpickler, load=load, check_storages=check_storages
    )


def _sparse(layout: torch.layout, data: tuple) -> Tensor:
    """Return a sparse tensor; :func:`plain` validates it once its storages are filled.

    torch's function puts it on a list of the process, which any other load empties.
    """
    if layout is torch.sparse_coo:
        indices, values, shape, *coalesced = data
        return torch.sparse_coo_tensor(
            indices,
            values,
            shape,
            check_invariants=False,
            is_coalesced=coalesced[0] if coalesced else None,
        )
    compressed, plain_indices, values, shape = data
    return torch.sparse_compressed_tensor(
        compressed, plain_indices, values, shape, layout=layout, check_invariants=False
    )


# Locations


class _NotTheFiles(Exception):
    """An error of the user's own ``map_location``."""


def _checked_location(map_location: object) -> object:
    """``map_location``, tried before anything of a file is at fault."""
    if isinstance(map_location, (str, torch.device)):
        default_restore_location(torch.UntypedStorage(0), str(map_location))
        return map_location
    if not callable(map_location):
        return map_location

    def place(storage: object, location: str) -> object:
        try:
            return map_location(storage, location)
        except Exception as error:
            raise _NotTheFiles from error

    return place
