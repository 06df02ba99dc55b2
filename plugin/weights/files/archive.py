"""The zip archive that ``torch.save`` writes, read so that a file can't claim too much.

torch's own reader inflates compressed entries, which ``torch.save`` never writes: 8 MB
became 8.7 GB of memory. Below some version it also took the size of a storage from
the pickle, and read on behind the entry's end. Python's ``zipfile`` reads this one, and
nothing else looks at the archive, so there is no second opinion on what is in it.
"""

from __future__ import annotations

import zipfile
from typing import BinaryIO

import numpy as np
import torch

from plugin.weights.files.refusal import DamagedFile

_CHUNK = 1 << 22


class Archive:
    """An archive, by the methods that ``torch.serialization._load`` calls.

    Args:
        file: At any position; it must seek.
        size: Of the file, in bytes.

    Raises:
        DamagedFile: It is none of torch's, or is made to take more than its size.
        zipfile.BadZipFile: It is truncated or damaged.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._zip = zipfile.ZipFile(file)
        entries = self._zip.infolist()
        if not entries:
            raise DamagedFile('is an empty zip archive')
        # All of torch's are in one folder, which has the name of the file.
        folder = entries[0].filename.partition('/')[0] + '/'
        self._entries = {e.filename.removeprefix(folder): e for e in entries}
        if len(self._entries) < len(entries):
            raise DamagedFile('is damaged: it has two entries of one name')
        if 'constants.pkl' in self._entries:
            raise DamagedFile('is a TorchScript archive, not a checkpoint')
        if 'data.pkl' not in self._entries:
            kind = 'numpy' if entries[0].filename.endswith('.npy') else 'zip'
            raise DamagedFile(
                f'is a {kind} archive without data.pkl, not what torch.save writes'
            )
        for entry in entries:
            if entry.compress_type != zipfile.ZIP_STORED:
                raise DamagedFile(
                    f'is refused: its entry {entry.filename} is compressed, which '
                    'torch.save never does, and a few bytes can hide gigabytes. If it '
                    'is your own, unpack it and pack it again with `zip -0 -r`'
                )
        if sum(entry.file_size for entry in entries) > size:
            raise DamagedFile(
                'is damaged: its entries overlap, and are longer than the file'
            )

    def get_all_records(self) -> list[str]:
        """Return names of the entries, without the folder."""
        return list(self._entries)

    def has_record(self, name: str) -> bool:
        """Return whether there is an entry of this name."""
        # torch >= 2.7 computes positions of storages where it finds this one, for
        # files that are mapped into memory. These are not.
        return name in self._entries and name != '.format_version'

    def get_record(self, name: str) -> bytes:
        """Return the bytes of an entry."""
        return self._zip.read(self._entry(name))

    def get_storage_from_record(
        self, name: str, size: int, dtype: object
    ) -> torch.Tensor:
        """Return the bytes of an entry as a tensor, whose memory can't grow."""
        entry = self._entry(name)
        self.check_size(name, size)
        contents = np.empty(size, np.uint8)
        view = memoryview(contents)
        at = 0
        with self._zip.open(entry) as source:
            while at < size:
                read = source.readinto(view[at : at + _CHUNK])
                if not read:
                    raise EOFError(f'{name} ends after {at} of {size} bytes')
                at += read
        return torch.from_numpy(contents)

    def check_size(self, name: str, size: int) -> None:
        """Hold what the pickle says of a storage against the entry that it is in.

        Raises:
            DamagedFile: They differ.
        """
        found = self._entry(name).file_size
        if found != size:
            raise DamagedFile(
                f'is damaged: a tensor wants {size:,} bytes of {name}, which has '
                f'{found:,}'
            )

    def get_record_offset(self, name: str) -> None:
        """Return where an entry begins; only for files that are mapped into memory."""
        return None

    def serialization_id(self) -> str:
        """Return a hash of the contents, for torch's own statistics."""
        name = '.data/serialization_id'
        return (
            self.get_record(name).decode('ascii', 'replace')
            if (name in self._entries)
            else ''
        )

    def _entry(self, name: str) -> zipfile.ZipInfo:
        try:
            return self._entries[name]
        except KeyError:
            raise DamagedFile(f'is damaged: it lacks its entry {name}') from None
