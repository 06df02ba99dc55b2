"""What torch's safe loader resolves in a checkpoint that mmengine wrote.

``torch.load(..., weights_only=True)`` refuses every global that is not listed. Besides
tensors, mmengine 0.10.7 writes ``HistoryBuffer`` (the logs of the message hub), the
numpy arrays and scalars in it, and ``getattr``, by which pickle's protocol 2 names
HistoryBuffer's methods (``bytes`` as well, for an empty array). Listing those objects
themselves would open the loader:

- ``getattr`` reaches anything.
- ``numpy.dtype`` takes any state. A file can declare an object field in a dtype
  whose flags deny it, and fill the array with raw bytes: numpy then follows them as
  pointers (numpy 2.4.6 dies of a segmentation fault).
- ``numpy.ndarray`` can be filled twice. The second filling frees memory that a tensor
  made from the first one still uses.
- ``HistoryBuffer.__setstate__`` writes the file's functions into a table that all
  buffers of the process share.

So each name resolves to a stand-in that does the one thing such checkpoints need.
"""

import re

import numpy as np
from mmengine.logging import HistoryBuffer

STATISTICS = ('current', 'max', 'mean', 'min')


class CheckpointError(ValueError):
    """A checkpoint can't be loaded, or holds what no checkpoint of weights needs."""


class _Dtype:
    """Stands for ``numpy.dtype``: numbers, booleans and fixed-length strings."""

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        if not isinstance(code, str) or not re.fullmatch(
            r'[biufcSU][1-9]\d{0,8}', code
        ):
            raise CheckpointError(
                f'numpy dtype {code!r} in the checkpoint; allowed are booleans, '
                'numbers and strings'
            )
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        # (version, byte order, subarray, names, fields, size, alignment, flags, ...):
        # the code says the size, and flags are what the attack above needs.
        byte_order, *structure = state[1:5]
        if byte_order not in ('<', '>', '|') or structure != [None, None, None]:
            raise CheckpointError('structured numpy dtype in the checkpoint')
        self.dtype = self.dtype.newbyteorder(byte_order)


class _Array(np.ndarray):
    """Stands for ``numpy.ndarray``: filled once, from bytes, and pickled as its base.

    A subclass, because the loader hands over the object before its contents.
    """

    def __new__(cls) -> '_Array':
        return super().__new__(cls, (0,), np.uint8)

    def __setstate__(self, state: tuple) -> None:
        version, shape, dtype, fortran, raw = state
        if self.size or not isinstance(dtype, _Dtype) or not isinstance(raw, bytes):
            raise CheckpointError('numpy array of unknown make in the checkpoint')
        super().__setstate__((1, shape, dtype.dtype, bool(fortran), raw))

    def __reduce_ex__(self, protocol: int) -> tuple:
        return self.view(np.ndarray).__reduce_ex__(protocol)


def _reconstruct(array_type: object, shape: object, code: object) -> _Array:
    return _Array()


def _scalar(dtype: _Dtype, raw: bytes) -> np.generic:
    if not isinstance(dtype, _Dtype) or not isinstance(raw, bytes):
        raise CheckpointError('numpy scalar of unknown make in the checkpoint')
    if len(raw) != dtype.dtype.itemsize:
        raise CheckpointError(f'{len(raw)} bytes for a numpy scalar {dtype.dtype}')
    return np.frombuffer(raw, dtype.dtype)[0]


class _HistoryBuffer(HistoryBuffer):
    """Stands for ``HistoryBuffer`` and becomes one as soon as it is filled.

    The file's table of statistics is left out: this process has its own, with the
    same four and with what the user's code has registered.
    """

    def __new__(cls) -> '_HistoryBuffer':
        return super().__new__(cls)

    def __init__(self) -> None:
        super().__init__()

    def __setstate__(self, state: dict) -> None:
        arrays = {}
        for key in ('_log_history', '_count_history'):
            if not isinstance(state[key], np.ndarray):
                raise CheckpointError(f'HistoryBuffer without {key} in the checkpoint')
            arrays[key] = state[key].view(np.ndarray)
        self.__class__ = HistoryBuffer
        self.__setstate__({'max_length': int(state['max_length']), **arrays})


def _getattr(owner: object, name: str) -> object:
    if owner is not _HistoryBuffer or name not in STATISTICS:
        raise CheckpointError(
            f'getattr of {name!r} in the checkpoint; allowed are HistoryBuffer '
            f'and {", ".join(STATISTICS)}'
        )
    return getattr(HistoryBuffer, name)


def _bytes() -> bytes:
    # Protocol 2 writes b'', the contents of an empty array, as a call of bytes.
    return b''


SAFE_GLOBALS = (
    (_HistoryBuffer, 'mmengine.logging.history_buffer.HistoryBuffer'),
    (_getattr, 'builtins.getattr'),
    (_bytes, 'builtins.bytes'),
    (_Dtype, 'numpy.dtype'),
    (_Array, 'numpy.ndarray'),
    # numpy._core is numpy 2's name for it, numpy.core is numpy 1's.
    (_reconstruct, 'numpy._core.multiarray._reconstruct'),
    (_reconstruct, 'numpy.core.multiarray._reconstruct'),
    (_scalar, 'numpy._core.multiarray.scalar'),
    (_scalar, 'numpy.core.multiarray.scalar'),
)
