"""Stand-ins that torch's safe loader resolves in a checkpoint that mmengine wrote.

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

So each name resolves to a stand-in that does the one thing such checkpoints need. The
stand-ins are listed for one load at a time, and what is loaded has none of them.
"""

import argparse
import math
import re

import numpy as np
from mmengine.logging import HistoryBuffer

from plugin.weights.files.refusal import DamagedFile, described

STATISTICS = ('current', 'max', 'mean', 'min')


def _refuse(what: str) -> DamagedFile:
    return DamagedFile(f'is refused: {what}')


class Dtype:
    """Stands for ``numpy.dtype``: numbers, booleans and fixed-length strings.

    Attributes:
        dtype: What it stands for.
    """

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        if not isinstance(code, str) or not re.fullmatch(
            r'[biufcSU][1-9]\d{0,8}', code
        ):
            raise _refuse(
                f'it holds the numpy dtype {described(code)}; allowed are booleans, '
                'numbers and strings'
            )
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        # (version, byte order, subarray, names, fields, size, alignment, flags, ...):
        # the code says the size, and flags are what the attack above needs.
        byte_order, *structure = state[1:5]
        if byte_order not in ('<', '>', '|') or structure != [None, None, None]:
            raise _refuse('it holds a structured numpy dtype')
        self.dtype = self.dtype.newbyteorder(byte_order)


class Array(np.ndarray):
    """Stands for ``numpy.ndarray``: filled once, from bytes.

    A subclass, because the loader hands over the object before its contents.
    """

    def __new__(cls) -> 'Array':
        return super().__new__(cls, (0,), np.uint8)

    def __setstate__(self, state: tuple) -> None:
        version, shape, dtype, fortran, raw = state
        if self.size or not isinstance(dtype, Dtype) or not isinstance(raw, bytes):
            raise _refuse('it holds a numpy array of unknown make')
        whole = isinstance(shape, tuple) and all(
            isinstance(side, int) and side >= 0 for side in shape
        )
        if not whole:
            raise _refuse('it holds a numpy array of unknown make')
        if math.prod(shape) * dtype.dtype.itemsize != len(raw):
            raise _refuse(
                f'it holds a numpy array of shape {shape} in {len(raw)} bytes'
            )
        super().__setstate__((1, shape, dtype.dtype, bool(fortran), raw))


def _reconstruct(array_type: object, shape: object, code: object) -> Array:
    return Array()


def _scalar(dtype: Dtype, raw: bytes) -> np.generic:
    if not isinstance(dtype, Dtype) or not isinstance(raw, bytes):
        raise _refuse('it holds a numpy scalar of unknown make')
    if len(raw) != dtype.dtype.itemsize:
        raise _refuse(f'it has {len(raw)} bytes for a numpy scalar {dtype.dtype}')
    return np.frombuffer(raw, dtype.dtype)[0]


class History(HistoryBuffer):
    """Stands for ``HistoryBuffer`` and becomes one as soon as it is filled.

    The file's table of statistics is left out: this process has its own, with the
    same four and with what the user's code has registered.
    """

    def __new__(cls) -> 'History':
        return super().__new__(cls)

    def __init__(self) -> None:
        super().__init__()

    def __setstate__(self, state: dict) -> None:
        arrays = {}
        for key in ('_log_history', '_count_history'):
            if not isinstance(state[key], np.ndarray):
                raise _refuse(f'it holds a HistoryBuffer without {key}')
            arrays[key] = state[key].view(np.ndarray)
        self.__class__ = HistoryBuffer
        self.__setstate__({'max_length': int(state['max_length']), **arrays})


def _getattr(owner: object, name: str) -> object:
    if owner is not History or name not in STATISTICS:
        raise _refuse(
            f'it asks for getattr of {described(name)}; allowed are HistoryBuffer and '
            f'{", ".join(STATISTICS)}'
        )
    return getattr(HistoryBuffer, name)


def _bytes() -> bytes:
    # Protocol 2 writes b'', the contents of an empty array, as a call of bytes.
    return b''


class Leftover:
    """Stands for any class or function, and keeps nothing of what it is given."""

    def __new__(cls, *args: object) -> 'Leftover':
        return super().__new__(cls)

    def __init__(self, *args: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, item: object) -> None:
        pass

    def extend(self, items: object) -> None:
        pass


SAFE_GLOBALS = (
    (History, 'mmengine.logging.history_buffer.HistoryBuffer'),
    (_getattr, 'builtins.getattr'),
    (_bytes, 'builtins.bytes'),
    # The arguments of a training script: no more than its attributes.
    (argparse.Namespace, 'argparse.Namespace'),
    (Dtype, 'numpy.dtype'),
    (Array, 'numpy.ndarray'),
    # numpy._core is numpy 2's name for it, numpy.core is numpy 1's.
    (_reconstruct, 'numpy._core.multiarray._reconstruct'),
    (_reconstruct, 'numpy.core.multiarray._reconstruct'),
    (_scalar, 'numpy._core.multiarray.scalar'),
    (_scalar, 'numpy.core.multiarray.scalar'),
)
