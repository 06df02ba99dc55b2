"""Files that nobody should be able to do harm with, each made by a few lines of code.

``INPUTS`` has for each its maker, which takes the path to write and the path of a
folder that appears if the file's code runs, and what a message about it says. Most are
written by ``torch.save`` of an object that pickles as something else.
"""

from __future__ import annotations

import io
import os
import pickle
import struct
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from crafted import Call, edit_pickle, save
from mmengine.logging import HistoryBuffer
from torch import nn

INPUTS: dict[str, tuple[Callable[[Path, str], object], str]] = {}
RUN_CODE: list[str] = []
"""Of ``INPUTS``, those that make the folder where a loader runs what is in them."""


def hostile(message: str, runs: bool = False) -> Callable:
    """Put a maker into ``INPUTS`` under its own name."""

    def put(make: Callable) -> Callable:
        INPUTS[make.__name__] = make, message
        if runs:
            RUN_CODE.append(make.__name__)
        return make

    return put


def save_old(contents: object, path: Path) -> None:
    torch.save(contents, path, _use_new_zipfile_serialization=False)


# Code


@hostile(r'asks for posix\.mkdir\.', runs=True)
def code_in_the_weights(path, trace):
    torch.save({'state_dict': {'conv.weight': Call(os.mkdir, trace)}}, path)


@hostile(r'asks for builtins\.eval\.', runs=True)
def code_besides_the_weights(path, trace):
    save(path, meta=Call(eval, f'__import__("os").mkdir({trace!r})'))


@hostile(r'asks for builtins\.eval, posix\.mkdir\.', runs=True)
def code_in_two_places(path, trace):
    save(path, a=Call(os.mkdir, trace), b=Call(eval, '1'))


@hostile(r'asks for posix\.mkdir\.', runs=True)
def code_in_the_old_format(path, trace):
    save_old({'conv.weight': torch.ones(1), 'more': Call(os.mkdir, trace)}, path)


@hostile(r'asks for posix\.mkdir\.', runs=True)
def code_in_a_bare_pickle(path, trace):
    path.write_bytes(pickle.dumps({'w': Call(os.mkdir, trace)}, 4))


@hostile(r'asks for posix\.mkdir\.', runs=True)
def code_in_a_bare_pickle_of_protocol_2(path, trace):
    path.write_bytes(pickle.dumps({'w': Call(os.mkdir, trace)}, 2))


@hostile(r'asks for posix\.mkdir\.', runs=True)
def code_in_a_zip_of_protocol_4(path, trace):
    torch.save({'w': Call(os.mkdir, trace)}, path, pickle_protocol=4)


@hostile(r'asks for torch\.storage\._load_from_bytes\.', runs=True)
def code_in_a_storage(path, trace):
    # torch's own function for storages, which unpickles what it is given.
    buffer = io.BytesIO()
    torch.save(Call(os.mkdir, trace), buffer)
    attack = Call(torch.storage._load_from_bytes, buffer.getvalue())
    torch.save({'state_dict': {'conv.weight': attack}}, path)


@hostile(r'asks for posix\.mkdir\.', runs=True)
def code_by_the_opcode_inst(path, trace):
    save(path, meta=None)
    code = b'(U' + bytes([len(trace)]) + trace.encode() + b'iposix\nmkdir\n.'
    edit_pickle(path, lambda _: b'\x80\x02' + code)


@hostile('asks for getattr of .__globals__')
def code_by_getattr(path, trace):
    save(path, message_hub=Call(getattr, HistoryBuffer.mean, '__globals__'))


@hostile('asks for getattr of .update')
def code_by_a_method(path, trace):
    save(path, message_hub=Call(getattr, HistoryBuffer, 'update'))


@hostile(r"numpy dtype 'O8'")
def code_in_an_object_array(path, trace):
    nested = np.array([Call(os.mkdir, trace)], dtype=object)
    save(path, message_hub=nested)


@hostile(r"numpy dtype 'O8'")
def code_in_an_object_scalar(path, trace):
    nested = pickle.dumps(Call(os.mkdir, trace))
    scalar = Call(np.float64(0).__reduce__()[0], np.dtype('O'), nested)
    save(path, value=scalar)


@hostile('Can only build Tensor')
def attributes_set_on_a_function(path, trace):
    save(path, value=Call(torch._utils._rebuild_tensor_v2))
    name = b'ctorch._utils\n_rebuild_tensor_v2\n'
    body = b'\x80\x02' + name + b'N}X\x04\x00\x00\x00doc_K\x05s\x86b.'
    edit_pickle(path, lambda _: body)


@hostile('Only persistent_load of storage is allowed')
def a_persistent_id_that_is_no_storage(path, trace):
    save(path)
    edit_pickle(path, lambda data: data.replace(b'storage', b'modules'))


@hostile('is a TorchScript archive')
def torchscript(path, trace):
    torch.jit.script(nn.Linear(1, 1)).save(path)


@hostile('is a tar archive')
def a_tar(path, trace):
    with tarfile.open(path, 'w') as tar:
        contents = pickle.dumps(Call(os.mkdir, trace), 2)
        for name in ('storages', 'tensors', 'pickle'):
            entry = tarfile.TarInfo(name)
            entry.size = len(contents)
            tar.addfile(entry, io.BytesIO(contents))


@hostile('is a tar archive')
def a_tar_that_begins_like_a_pickle(path, trace):
    with tarfile.open(path, 'w', format=tarfile.GNU_FORMAT) as tar:
        link = tarfile.TarInfo('\udc80\x02storages')
        link.type, link.linkname = tarfile.SYMTYPE, trace
        tar.addfile(link)


# numpy's own ways to unpickle


def array_of(dtype: object, raw: object = b'\x41' * 8, shape: tuple = (1,)) -> Call:
    reconstruct, args, _ = np.array(0).__reduce__()
    return Call(reconstruct, *args, state=(1, shape, dtype, False, raw))


def structured(code: str, field: str = 'O') -> Call:
    """A dtype with an object field that its flags deny: raw bytes become pointers."""
    fields = {'a': (np.dtype(field), 0)}
    return Call(
        np.dtype, code, False, True, state=(3, '|', None, ('a',), fields, 8, 1, 0)
    )


@hostile("numpy dtype 'V8'")
def a_void_dtype_with_an_object_field(path, trace):
    save(path, value=array_of(structured('V8')))


@hostile("numpy dtype 'O8'")
def a_float_dtype_with_an_object_field(path, trace):
    save(path, value=array_of(structured('f8')))


@hostile('structured numpy dtype')
def a_float_dtype_with_fields(path, trace):
    save(path, value=array_of(structured('f8', 'f4')))


@hostile('numpy dtype')
def a_dtype_of_a_function(path, trace):
    reduce = np.float64(0).__reduce__()[0]
    save(path, value=Call(reduce, Call(np.dtype, set), b'12345678'))


@hostile('9 bytes for a numpy scalar')
def a_scalar_of_too_many_bytes(path, trace):
    reduce = np.float64(0).__reduce__()[0]
    save(path, value=Call(reduce, np.dtype('f8'), b'123456789'))


@hostile('numpy array of unknown make')
def an_array_from_a_list(path, trace):
    save(path, value=array_of(np.dtype('f8'), [1.0]))


@hostile(r'numpy array of shape \(4294967296, 4294967296\) in 0 bytes')
def an_array_of_a_shape_that_overflows(path, trace):
    save(path, value=array_of(np.dtype('u1'), b'', (2**32, 2**32)))


@hostile('numpy array of unknown make')
def an_array_that_is_filled_twice(path, trace):
    # The second filling would free memory that a tensor of the first one shares.
    save(path, value=None)
    array = pickle.dumps(np.ones(3), 2)
    assert array[-5:-4] == b't' and array[-4:-3] == b'q' and array[-2:] == b'b.'
    again = b'h' + array[-3:-2] + b'b.'  # BINGET of the state, BUILD, STOP
    edit_pickle(path, lambda _: array[:-1] + again)


@hostile('HistoryBuffer without its logs')
def a_log_that_is_empty(path, trace):
    name = b'cmmengine.logging.history_buffer\nHistoryBuffer\n'
    save(path)
    edit_pickle(path, lambda _: b'\x80\x02' + name + b')\x81.')


# Tensors that claim what is not there


def tensor(offset: object, size: tuple, stride: tuple, values: int = 4) -> Call:
    storage = torch.ones(values)._typed_storage()
    rebuild = torch._utils._rebuild_tensor_v2
    return Call(rebuild, storage, offset, size, stride, False, OrderedDict())


FORGED = {
    'a_negative_offset': tensor(-1, (1,), (1,)),
    'an_offset_behind_the_end': tensor(10, (1,), (1,)),
    'an_offset_of_text': tensor('1', (1,), (1,)),
    'a_negative_size': tensor(0, (-1,), (1,)),
    'a_negative_stride': tensor(3, (2,), (-1,)),
    'a_size_behind_the_end': tensor(0, (1000,), (1,)),
    'a_huge_size': tensor(0, (2**62,), (1,)),
    'a_size_that_overflows': tensor(0, (2**63,), (1,)),
    'sizes_that_overflow_together': tensor(0, (2**40, 2**40), (1, 1)),
    'a_size_of_text': tensor(0, ('4',), (1,)),
    'more_strides_than_sizes': tensor(0, (2,), (1, 1)),
    'a_tensor_repeated_to_terabytes': tensor(0, (2**40,), (0,)),
}


def forged(name: str, old_format: bool) -> Callable:
    def make(path: Path, trace: str) -> None:
        contents = {'state_dict': {'conv.weight': FORGED[name]}}
        torch.save(contents, path, _use_new_zipfile_serialization=not old_format)

    make.__name__ = name + ('_in_the_old_format' if old_format else '')
    return make


for _name in FORGED:
    for _old in (False, True):
        hostile('is damaged: ')(forged(_name, _old))


def claim(path: Path, numel: int) -> None:
    """Let the pickle say that the storage of two numbers has ``numel``."""
    old = b'X\x03\x00\x00\x00cpu'
    wrong = numel.to_bytes(4, 'little', signed=True)

    def edit(data: bytes) -> bytes:
        at = data.index(old) + len(old)
        assert data[at : at + 1] == b'q' and data[at + 2 : at + 4] == b'K\x02'
        return data[: at + 2] + b'J' + wrong + data[at + 4 :]

    if path.read_bytes()[:2] == b'PK':
        edit_pickle(path, edit)
    else:
        path.write_bytes(edit(path.read_bytes()))


@hostile(r'a tensor wants 8,000,000,000 bytes of data/0, which has 8')
def a_storage_that_claims_gigabytes(path, trace):
    save(path)
    claim(path, 2_000_000_000)


@hostile(r'a tensor wants -8 bytes of data/0')
def a_storage_of_negative_size(path, trace):
    save(path)
    claim(path, -2)


@hostile(r'wants 8,000,000,000 bytes for a tensor, and has \d+ in all')
def a_storage_that_claims_gigabytes_in_the_old_format(path, trace):
    save_old({'w': torch.ones(2)}, path)
    claim(path, 2_000_000_000)


@hostile('lacks its entry data/0')
def a_storage_without_its_entry(path, trace):
    save(path)
    with zipfile.ZipFile(path) as archive:
        records = {n: archive.read(n) for n in archive.namelist()}
    with zipfile.ZipFile(path, 'w') as archive:
        for name, record in records.items():
            if not name.endswith('data/0'):
                archive.writestr(name, record)


@hostile('lacks the contents of a tensor')
def a_storage_without_its_contents_in_the_old_format(path, trace):
    # The last pickle lists the storages that follow; torch leaves others unfilled.
    save_old({'w': torch.ones(2)}, path)
    data = path.read_bytes()
    listed = data.rindex(b'\x80\x02]')
    end = data.index(b'.', listed)
    path.write_bytes(data[:listed] + b'\x80\x02].' + data[end + 1 :])


@hostile('a sparse tensor has wrong indices')
def sparse_indices_outside(path, trace):
    indices, values = torch.tensor([[0, 1000000]]), torch.ones(2)
    rebuild = torch._utils._rebuild_sparse_tensor
    save(path, value=Call(rebuild, torch.sparse_coo, (indices, values, (3,), True)))


@hostile('a sparse tensor has wrong indices')
def sparse_rows_outside(path, trace):
    parts = (torch.tensor([0, 9]), torch.tensor([70000]), torch.ones(1), (1, 3))
    rebuild = torch._utils._rebuild_sparse_tensor
    save(path, value=Call(rebuild, torch.sparse_csr, parts))


@hostile('wants 40,000,000 bytes for a tensor|wants 40,000,000 bytes')
def memory_that_is_not_in_the_file(path, trace):
    save(path, value=None)
    name = b'ctorch\nTensor\n'
    body = b'\x80\x02' + name + b'J' + (10_000_000).to_bytes(4, 'little') + b'\x85\x81.'
    edit_pickle(path, lambda _: body)


@hostile('wants 100,000,000 bytes of zeros')
def zeros_that_are_not_in_the_file(path, trace):
    save(path, value=Call(bytearray, 100_000_000))


# Archives


@hostile(r'its entry \w+/data/0 is compressed')
def gigabytes_in_compressed_entries(path, trace):
    save(path, zeros=torch.zeros(1 << 20))
    with zipfile.ZipFile(path) as archive:
        records = {n: archive.read(n) for n in archive.namelist()}
    with zipfile.ZipFile(path, 'w') as archive:
        for name, record in records.items():
            kind = zipfile.ZIP_DEFLATED if '/data/' in name else zipfile.ZIP_STORED
            archive.writestr(name, record, kind)


@hostile('its entries overlap')
def entries_that_overlap(path, trace):
    save(path, zeros=torch.zeros(1 << 18))
    with zipfile.ZipFile(path) as archive:
        (large,) = [i for i in archive.infolist() if i.file_size == 1 << 20]
    # A thousand names for the one megabyte, in the table of contents alone.
    data = path.read_bytes()
    end = data.rindex(b'PK\x05\x06')
    start = int.from_bytes(data[end + 16 : end + 20], 'little')
    name = large.filename.encode()
    at = data.index(b'PK\x01\x02', start)
    while data[at + 46 : at + 46 + len(name)] != name:
        at = data.index(b'PK\x01\x02', at + 4)
    next_one = data.find(b'PK\x01\x02', at + 4)
    entry = data[at : next_one if next_one > 0 else data.index(b'PK\x06\x06', at)]
    more = b''.join(entry.replace(name, name[:-3] + b'%03d' % i) for i in range(100))
    count = int.from_bytes(data[end + 10 : end + 12], 'little') + 100
    size = int.from_bytes(data[end + 12 : end + 16], 'little') + len(more)
    path.write_bytes(
        data[:start]
        + more
        + data[start : start + size - len(more)]
        + b'PK\x05\x06\x00\x00\x00\x00'
        + count.to_bytes(2, 'little') * 2
        + size.to_bytes(4, 'little')
        + start.to_bytes(4, 'little')
        + b'\x00\x00'
    )


@hostile('two entries of one name')
def two_entries_of_one_name(path, trace):
    save(path)
    with zipfile.ZipFile(path, 'a') as archive:
        name = next(n for n in archive.namelist() if n.endswith('data.pkl'))
        archive.writestr(name, pickle.dumps(Call(os.mkdir, trace), 2))


@hostile('is an empty zip archive')
def an_empty_zip(path, trace):
    with zipfile.ZipFile(path, 'w'):
        pass


@hostile('is a zip archive without data.pkl')
def another_zip(path, trace):
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('word/document.xml', '<xml/>')


@hostile('is a numpy archive without data.pkl')
def an_npz(path, trace):
    with path.open('wb') as file:
        np.savez(file, a=np.ones(2))


# Files that are no checkpoints


@hostile(r'is truncated or damaged \(\d+ bytes\)')
def truncated(path, trace):
    save(path, zeros=torch.zeros(1000))
    path.write_bytes(path.read_bytes()[:-300])


@hostile(r'is truncated or damaged \(\d+ bytes\)')
def truncated_in_the_middle(path, trace):
    save(path, zeros=torch.zeros(1000))
    path.write_bytes(path.read_bytes()[:3000])


@hostile(r'is truncated or damaged \(\d+ bytes\)')
def truncated_in_the_old_format(path, trace):
    save_old({'w': torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:-300])


@hostile(r'is truncated or damaged \(\d+ bytes\)')
def one_bit_changed(path, trace):
    torch.save({'w': torch.zeros(1000)}, path)
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        at = archive.getinfo(next(n for n in archive.namelist() if 'data/0' in n))
    data[at.header_offset + 1000] ^= 1
    path.write_bytes(data)


@hostile(r'is empty \(0 bytes\)')
def empty(path, trace):
    path.write_bytes(b'')


@hostile(r'holds nothing but zeros \(100000 bytes\)')
def zeros(path, trace):
    path.write_bytes(bytes(100_000))


@hostile("is not a checkpoint: it begins with b'version https://git-lfs")
def a_pointer_of_git_lfs(path, trace):
    path.write_text('version https://git-lfs.github.com/spec/v1\noid sha256:1\n')


@hostile('is a bare pickle')
def a_bare_pickle(path, trace):
    path.write_bytes(pickle.dumps({'a': 1}, 2))


@hostile('is a pickle of a kind that torch.save does not write')
def a_bare_pickle_of_protocol_4(path, trace):
    path.write_bytes(pickle.dumps({'a': 1}, 4))


@hostile('save it again with .*pickle_protocol=2')
def a_zip_of_protocol_4(path, trace):
    torch.save({'state_dict': {'w': torch.ones(1)}}, path, pickle_protocol=4)


@hostile('holds a list, not a dict of weights')
def a_list(path, trace):
    torch.save([1], path)


@hostile('holds a Tensor, not a dict of weights')
def a_tensor(path, trace):
    torch.save(torch.ones(1), path)


# safetensors, whatever their name says


def save_tensors(path: Path, header: str, contents: bytes = bytes(8)) -> None:
    path.write_bytes(struct.pack('<Q', len(header)) + header.encode() + contents)


@hostile(r'is truncated or damaged \(\d+ bytes\)')
def safetensors_truncated(path, trace):
    path.write_bytes(safetensors.torch.save({'w': torch.ones(10)})[:-10])


@hostile(r'is truncated or damaged \(\d+ bytes\)')
def safetensors_with_offsets_outside(path, trace):
    entry = '{"dtype":"F32","shape":[1000],"data_offsets":[0,4000]}'
    save_tensors(path, f'{{"w":{entry}}}')


@hostile(r'is truncated or damaged \(\d+ bytes\)')
def safetensors_of_a_shape_that_overflows(path, trace):
    big = 2**63
    entry = f'{{"dtype":"F32","shape":[{big},{big}],"data_offsets":[0,8]}}'
    save_tensors(path, f'{{"w":{entry}}}')


# Contents that others stumble over


def attribute_of(holder: str, name: str, value: object) -> Callable:
    def make(path: Path, trace: str) -> None:
        state = Call(OrderedDict, state={name: value})
        torch.save({holder: state}, path)

    return make


INPUTS['versions_that_are_a_number'] = (
    attribute_of('state_dict', '_metadata', 5),
    'its _metadata is not a dict of the versions of modules but 5',
)
INPUTS['versions_of_numbers'] = (
    attribute_of('state_dict', '_metadata', {'conv': 5}),
    'its _metadata is not a dict of the versions',
)
INPUTS['a_method_replaced'] = (
    attribute_of('state_dict', 'items', 5),
    "its OrderedDict has an attribute 'items' in the place of a method",
)


@hostile('nests deeper than 100 levels')
def nested_a_thousand_times(path, trace):
    nested: list = []
    for _ in range(1000):
        nested = [nested]
    save(path, meta=None)
    body = b'\x80\x02' + b']' * 1001 + b'a' * 1000 + b'.'
    edit_pickle(path, lambda _: body)


@hostile(r'asks for evil\\x1b\[2J\\x07\.x\\u202e')
def names_that_move_the_cursor(path, trace):
    save(path)
    name = 'cevil\x1b[2J\x07\nx\u202e\n'.encode()
    edit_pickle(path, lambda _: b'\x80\x02' + name + b'.')
