"""Look through what an unpickler has made, before anybody uses it.

Stand-ins become what they stand for, and what torch's code would stumble over later,
without a word about the file, is said here: tensors larger than the file, dicts whose
methods the file has replaced, depths at which a copy runs out of stack.
"""

from __future__ import annotations

from collections import Counter, OrderedDict

import numpy as np
import torch
from torch import Tensor, nn

from plugin.weights.files.refusal import DamagedFile, described
from plugin.weights.files.safe_globals import Array, Dtype, History

# mmengine copies what it resumes from, at three calls a level; Python allows 1000.
_DEEPEST = 100
# An expanded tensor is small in a file and whole in memory.
_LARGEST_EXPANSION = 1 << 30
_ATOMS = frozenset(
    (str, int, float, bool, type(None), bytes, complex, torch.Size, torch.dtype)
)


def plain(contents: object, size: int) -> object:
    """Return ``contents`` without stand-ins.

    Dicts and lists are changed in place.

    Args:
        contents: What the unpickler has returned.
        size: Of the file that it is from, in bytes.

    Raises:
        DamagedFile: Something in it can't be used, or is made to do harm.
    """
    return _Look(size).at(contents, 0)


class _Look:
    """One walk through the contents of a file.

    Attributes:
        size: Of the file, in bytes.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        # Each with what it became; kept, so that no id comes up twice.
        self._seen: dict[int, tuple[object, object]] = {}

    def at(self, value: object, depth: int) -> object:
        """Return ``value``, or what it stands for."""
        kind = type(value)
        if kind in _ATOMS:
            return value
        if isinstance(value, Tensor):
            self._check_tensor(value)
            return value
        if isinstance(value, Array):
            return value.view(np.ndarray)
        if kind is Dtype:
            return value.dtype
        if kind is History:
            raise DamagedFile('is damaged: it holds a HistoryBuffer without its logs')
        if kind is bytearray and len(value) > self.size:
            raise DamagedFile(f'is damaged: it wants {len(value):,} bytes of zeros')
        if id(value) in self._seen:
            return self._seen[id(value)][1]
        if depth > _DEEPEST:
            raise DamagedFile(f'is damaged: it nests deeper than {_DEEPEST} levels')
        self._seen[id(value)] = value, value
        if kind is tuple:
            new = self._tuple(value, depth)
            self._seen[id(value)] = value, new
            return new
        self._attributes(value, depth)
        if isinstance(value, dict):
            self._dict(value, depth)
        elif isinstance(value, list):
            for i, item in enumerate(value):
                value[i] = self.at(item, depth + 1)
        elif kind is set and any(self.at(v, depth + 1) is not v for v in value):
            items = [self.at(v, depth + 1) for v in value]
            value.clear()
            value.update(items)
        return value

    def _tuple(self, value: tuple, depth: int) -> tuple:
        items = tuple(self.at(item, depth + 1) for item in value)
        same = all(new is old for new, old in zip(items, value, strict=True))
        return value if same else items

    def _dict(self, value: dict, depth: int) -> None:
        keys = [self.at(key, depth + 1) for key in value]
        if any(new is not old for new, old in zip(keys, value, strict=True)):
            items = list(value.values())
            value.clear()
            value.update(zip(keys, items, strict=True))
        for key, item in value.items():
            new = self.at(item, depth + 1)
            if new is not item:
                value[key] = new

    def _attributes(self, value: object, depth: int) -> None:
        own = getattr(value, '__dict__', None)
        if not own or not isinstance(own, dict):
            return
        if type(value) in (OrderedDict, Counter):
            # torch fills the attributes of an OrderedDict with whatever a file says.
            hidden = [name for name in own if hasattr(type(value), str(name))]
            if hidden:
                raise DamagedFile(
                    f'is damaged: its {type(value).__name__} has an attribute '
                    f'{hidden[0]!r} in the place of a method'
                )
            metadata = own.get('_metadata', {})
            if not isinstance(metadata, dict) or not all(
                isinstance(name, str) and isinstance(version, dict)
                for name, version in metadata.items()
            ):
                raise DamagedFile(
                    'is damaged: its _metadata is not a dict of the versions of '
                    f'modules but {described(metadata)}'
                )
        self._dict(own, depth)

    def _check_tensor(self, tensor: Tensor) -> None:
        if tensor.is_sparse or tensor.layout in _COMPRESSED:
            if not tensor.is_meta:  # There it has no indices to be wrong.
                _check_sparse(tensor)
            return
        # Of a subclass that wraps others, such as DTensor, only it knows the storage.
        if type(tensor) not in (Tensor, nn.Parameter) or tensor.is_nested:
            return
        held = tensor.untyped_storage().nbytes()
        wanted = tensor.numel() * tensor.element_size()
        # On the meta device a tensor may have been saved without its contents.
        if held > self.size and not tensor.is_meta:
            raise DamagedFile(
                f'is damaged: it wants {held:,} bytes for a tensor, and has '
                f'{self.size:,} in all'
            )
        if wanted > max(held, self.size, _LARGEST_EXPANSION):
            raise DamagedFile(
                f'is damaged: a tensor of shape {tuple(tensor.shape)} repeats '
                f'{held:,} bytes up to {wanted:,}'
            )


_COMPRESSED = (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)


def _check_sparse(tensor: Tensor) -> None:
    """Raise where an index points outside; torch reads there when asked for values."""
    try:
        if tensor.layout is torch.sparse_coo:
            torch.sparse_coo_tensor(
                tensor._indices(), tensor._values(), tensor.shape, check_invariants=True
            )
        else:
            rows = tensor.layout in (torch.sparse_csr, torch.sparse_bsr)
            torch.sparse_compressed_tensor(
                tensor.crow_indices() if rows else tensor.ccol_indices(),
                tensor.col_indices() if rows else tensor.row_indices(),
                tensor.values(),
                tensor.shape,
                layout=tensor.layout,
                check_invariants=True,
            )
    except RuntimeError as error:
        first_line = str(error).splitlines()[0]
        raise DamagedFile(
            f'is damaged: a sparse tensor has wrong indices ({first_line})'
        ) from None
