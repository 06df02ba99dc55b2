"""Checkpoints load whole through mmengine, and nothing else of the process changes."""

import functools
import os
import pickle
import threading
import zipfile
from argparse import Namespace

import numpy as np
import pytest
import torch
from crafted import Call, edit_pickle, makes_folder, save
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader, Runner, load_checkpoint
from mmengine.runner import checkpoint as theirs
from tiny_runner import TinyModel
from torch import nn

from plugin.weights import upstream
from plugin.weights.files.safe_globals import STATISTICS
from plugin.weights.files.safe_loading import (
    REPLACEMENTS,
    CheckpointError,
    allow_mmengine_checkpoints,
    disallow_mmengine_checkpoints,
)

MULTIARRAY = np.array(0).__reduce__()[0].__module__  # numpy 2: numpy._core.multiarray


@pytest.fixture(autouse=True)
def allowed():
    allow_mmengine_checkpoints()


def load(path, map_location='cpu'):
    """What ``load_from`` and ``init_cfg`` of a config come down to."""
    return CheckpointLoader.load_checkpoint(str(path), map_location, logger=None)


# What mmengine writes


def written_under(path, multiarray):
    """Pretend that another numpy wrote the file.

    In protocol 2 a global is its module and name as two lines of text, and numpy 1
    and 2 differ in nothing but the module of multiarray.
    """
    here = f'c{MULTIARRAY}\n'.encode()
    there = f'c{multiarray}\n'.encode()
    edit_pickle(path, lambda data: data.replace(here, there))
    with zipfile.ZipFile(path) as archive:
        pickles = [archive.read(n) for n in archive.namelist() if n.endswith('.pkl')]
    assert there in pickles[0]


@pytest.mark.parametrize(
    'multiarray', ['numpy.core.multiarray', 'numpy._core.multiarray']
)
def test_log_history_loads_whole_from_either_numpy(tmp_path, multiarray):
    buffer = HistoryBuffer([3.0, 1.0, 2.0], [1, 1, 2])
    path = save(tmp_path / 'a.pth', loss=buffer, best=np.float64(0.25))
    written_under(path, multiarray)

    checkpoint = load(path)

    loaded = checkpoint['loss']
    assert type(loaded) is HistoryBuffer
    assert {n: loaded.statistics(n) for n in STATISTICS} == {
        'current': 2.0,
        'max': 3.0,
        'mean': 1.5,
        'min': 1.0,
    }
    assert [type(array) for array in loaded.data] == [np.ndarray] * 2
    assert checkpoint['best'] == 0.25 and type(checkpoint['best']) is np.float64


@pytest.mark.parametrize(
    'array',
    [
        np.arange(6.0, dtype='>f4').reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.array([True, False]),
        np.array(['ab', 'c']),
        np.array([]),
    ],
    ids=['big-endian', 'fortran', 'bool', 'text', 'empty'],
)
def test_arrays_are_numpys_own_with_their_values(tmp_path, array):
    loaded = load(save(tmp_path / 'a.pth', array=array))['array']
    expected = pickle.loads(pickle.dumps(array, 2))
    assert type(loaded) is np.ndarray
    assert (loaded.shape, loaded.dtype) == (expected.shape, expected.dtype)
    assert loaded.flags.f_contiguous == expected.flags.f_contiguous
    np.testing.assert_array_equal(loaded, expected)


class Stats:
    """A user's class that only holds data."""

    def __init__(self, values):
        self.values = values


def test_arrays_are_numpys_own_wherever_they_are(tmp_path):
    array, dtype = np.arange(3), np.dtype('f4')
    contents = dict(
        list=[array, {'x': array}],
        tuple=(1, (array,)),
        dtype=dtype,
        keys={dtype: 1, (dtype, 'a'): 2},
        set={dtype},
        buffer=HistoryBuffer([1.0], [1]),
        own=Stats((array, [array])),
    )
    contents['list'].append(contents['list'])  # A list in itself.
    path = save(tmp_path / 'a.pth', **contents)
    with torch.serialization.safe_globals([Stats]):
        loaded = load(path)
    found = [
        loaded['list'][0],
        loaded['list'][1]['x'],
        loaded['tuple'][1][0],
        loaded['own'].values[0],
        loaded['own'].values[1][0],
    ]
    assert [type(a) for a in found] == [np.ndarray] * 5
    assert loaded['list'][2] is loaded['list']
    assert loaded['dtype'] == dtype and isinstance(loaded['dtype'], np.dtype)
    assert loaded['keys'] == {dtype: 1, (dtype, 'a'): 2}
    assert loaded['set'] == {dtype}
    # What has been loaded can be saved and loaded again.
    loaded.pop('own')
    torch.save(loaded, tmp_path / 'again.pth')
    assert load(tmp_path / 'again.pth')['keys'] == {dtype: 1, (dtype, 'a'): 2}


def test_the_statistics_allowed_are_those_of_history_buffer():
    assert set(HistoryBuffer()._statistics_methods) == set(STATISTICS)


def test_a_files_table_of_statistics_does_not_reach_the_process(tmp_path):
    before = dict(HistoryBuffer()._statistics_methods)
    buffer = HistoryBuffer([1.0, 3.0], [1, 1])
    buffer._statistics_methods = {'mean': set, 'more': set}
    loaded = load(save(tmp_path / 'a.pth', loss=buffer))['loss']
    assert loaded.statistics('mean') == 2.0
    assert HistoryBuffer._statistics_methods == before


@pytest.mark.parametrize('old_format', [False, True], ids=['zip', 'old format'])
def test_every_kind_of_tensor_is_as_it_was(tmp_path, old_format):
    base = torch.arange(12.0)
    tensors = dict(
        view=base.view(3, 4)[1:, ::2],
        shared=base,
        parameter=nn.Parameter(torch.ones(2), requires_grad=False),
        half=torch.ones(2, dtype=torch.bfloat16),
        bools=torch.tensor([True, False]),
        scalar=torch.tensor(3),
        none=torch.zeros(0, 4),
        expanded=torch.ones(1).expand(1000),
        sparse=torch.eye(3).to_sparse(),
        csr=torch.eye(3).to_sparse_csr(),
        quantized=torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        complex=torch.ones(2, dtype=torch.complex64),
    )
    path = tmp_path / 'a.pth'
    torch.save(tensors, path, _use_new_zipfile_serialization=not old_format)
    loaded = load(path)
    assert list(loaded) == list(tensors)
    for name, tensor in tensors.items():
        other = loaded[name]
        assert type(other) is type(tensor)
        assert (other.dtype, other.shape, other.layout) == (
            (tensor.dtype, tensor.shape, tensor.layout)
        )
        dense = other.to_dense() if other.layout != torch.strided else other
        own = tensor.to_dense() if tensor.layout != torch.strided else tensor
        assert torch.equal(dense, own)
    assert loaded['view'].stride() == (4, 2)
    assert loaded['expanded'].stride() == (0,)
    pointers = {loaded[n].untyped_storage().data_ptr() for n in ('view', 'shared')}
    assert len(pointers) == 1


def test_a_state_dict_keeps_the_versions_of_its_modules(tmp_path):
    model = nn.Sequential(nn.BatchNorm2d(2))
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'a.pth')
    assert load(tmp_path / 'a.pth')['state_dict']._metadata['0'] == {'version': 2}


def test_plain_weights_load_into_a_model(tmp_path):
    model = TinyModel()
    load_checkpoint(model, str(save(tmp_path / 'a.pth')), map_location='cpu')
    assert model.linear.weight.tolist() == [[1.0, 1.0]]


# Where tensors go


@pytest.mark.parametrize('location', ['meta', torch.device('meta')])
@pytest.mark.parametrize('old_format', [False, True], ids=['zip', 'old format'])
def test_a_device_reaches_torch(tmp_path, location, old_format):
    path = tmp_path / 'a.pth'
    weights = {'w': torch.ones(2, 3)}
    torch.save(weights, path, _use_new_zipfile_serialization=not old_format)
    loaded = load(path, location)['w']
    assert (loaded.device.type, loaded.shape) == ('meta', (2, 3))


@pytest.mark.parametrize(
    'location', [None, {'cpu': 'meta'}, lambda storage, tag: storage]
)
def test_other_map_locations_reach_torch(tmp_path, location):
    loaded = load(save(tmp_path / 'a.pth'), location)['state_dict']['linear.weight']
    assert loaded.device.type == ('meta' if isinstance(location, dict) else 'cpu')


def test_an_error_that_is_not_the_files_is_left_as_it_is(tmp_path, monkeypatch):
    def broken(storage, location):
        raise KeyError('mine')

    monkeypatch.setattr('torch.hub._hub_dir', str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    path = save(tmp_path / 'a.pth')
    with pytest.raises(RuntimeError, match='nowhere'):
        load(path, 'nowhere')
    with pytest.raises(KeyError, match='mine'):
        load(path, broken)
    with pytest.raises(KeyError):
        load('openmmlab://no-such-model')


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='no.pth: no such file'):
        load(tmp_path / 'no.pth')


def test_a_loader_may_give_a_tensor_and_a_model_may_not_take_it(tmp_path):
    # mmseg's VPD reads its class embeddings so.
    torch.save(torch.ones(2, 3), tmp_path / 'a.pth')
    assert torch.equal(load(tmp_path / 'a.pth'), torch.ones(2, 3))
    with pytest.raises(CheckpointError, match='a.pth holds a Tensor, not a dict'):
        load_checkpoint(TinyModel(), str(tmp_path / 'a.pth'))


# The user's own


@pytest.fixture
def listed():
    """torch's list is put back after the test."""
    before = torch.serialization.get_safe_globals()
    yield
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(before)


@pytest.fixture
def schemes():
    """The table of schemes is put back after the test."""
    before = CheckpointLoader._schemes
    CheckpointLoader._schemes = before.copy()  # mmengine changes it in place.
    yield
    CheckpointLoader._schemes = before


def state_of_the_process():
    """All that a load could change for others."""
    return (
        set(torch.serialization.get_safe_globals()),
        dict(os.environ),
        torch.load,
        torch.hub.download_url_to_file,
        dict(CheckpointLoader._schemes),
        torch.serialization._serialization_tls.map_location,
        list(torch._utils._sparse_tensors_to_validate),
    )


def test_installing_and_loading_leave_the_list_and_the_environment(tmp_path, listed):
    torch.serialization.add_safe_globals([Stats])
    before = state_of_the_process()
    good = save(tmp_path / 'a.pth', loss=HistoryBuffer([1.0], [1]), own=Stats(1))
    evil = save(tmp_path / 'evil.pth', meta=makes_folder(tmp_path / 'trace'))
    sparse = save(tmp_path / 's.pth', eye=torch.eye(3).to_sparse())
    allow_mmengine_checkpoints()
    for _ in range(2):
        assert load(good)['own'].values == 1
        load(sparse)
        with pytest.raises(CheckpointError):
            load(evil)
    assert state_of_the_process() == before


def test_torch_load_is_as_it_is_without_the_plugin(tmp_path):
    arrays = save(tmp_path / 'a.pth', array=np.arange(3))
    logs = save(tmp_path / 'b.pth', loss=HistoryBuffer([1.0], [1]))
    for path in arrays, logs:
        with pytest.raises(pickle.UnpicklingError, match='Weights only load failed'):
            torch.load(path)
        load(path)
        with pytest.raises(pickle.UnpicklingError, match='Weights only load failed'):
            torch.load(path)
    reconstruct = np.array(0).__reduce__()[0]
    own = [np.ndarray, np.dtype, reconstruct, type(np.dtype('i8'))]
    with torch.serialization.safe_globals(own):
        assert type(torch.load(arrays)['array']) is np.ndarray
    loaded = torch.load(arrays, weights_only=False)['array']
    assert type(loaded) is np.ndarray
    assert torch.load(f=arrays, weights_only=False)['array'].itemsize == 8


def test_numpys_globals_that_others_listed_neither_disturb_nor_are_lost(
    tmp_path, listed
):
    path = save(tmp_path / 'a.pth', best=np.float64(0.5), a=np.arange(3))
    reconstruct = np.array(0).__reduce__()[0]
    theirs = [np.dtype, np.ndarray, reconstruct, type(np.dtype('f8')), (getattr, 'x.y')]
    torch.serialization.add_safe_globals(theirs)
    before = set(torch.serialization.get_safe_globals())
    checkpoint = load(path)
    assert checkpoint['best'] == 0.5
    assert type(checkpoint['a']) is np.ndarray
    assert checkpoint['a'].tolist() == [0, 1, 2]
    assert set(torch.serialization.get_safe_globals()) == before


def test_a_stand_in_comes_before_what_somebody_lists_under_its_name(tmp_path, listed):
    torch.serialization.add_safe_globals([(getattr, 'builtins.getattr')])
    path = save(tmp_path / 'a.pth', a=Call(getattr, HistoryBuffer, 'update'))
    with pytest.raises(CheckpointError, match='getattr of'):
        load(path)


def test_a_class_that_is_listed_with_torch_loads(tmp_path, listed):
    path = save(tmp_path / 'a.pth', own=Stats([1]))
    with pytest.raises(CheckpointError, match=r'test_safe_loading\.Stats'):
        load(path)
    torch.serialization.add_safe_globals([Stats])
    assert load(path)['own'].values == [1]


def test_a_class_that_a_loader_lists_stays_listed(tmp_path, listed, schemes):
    def own_loader(name, map_location):
        torch.serialization.add_safe_globals([Stats])
        return torch.load(name[7:], map_location)

    CheckpointLoader.register_scheme('mine://', own_loader)
    path = save(tmp_path / 'a.pth', own=Stats([1]))
    assert load(f'mine://{path}')['own'].values == [1]
    assert Stats in torch.serialization.get_safe_globals()
    assert load(path)['own'].values == [1]


def test_an_error_of_a_users_own_class_is_told(tmp_path, listed):
    class Refuses(Stats):
        def __setstate__(self, state):
            raise ValueError('my own reason')

    Refuses.__qualname__ = 'Refuses'
    globals()['Refuses'] = Refuses
    try:
        path = save(tmp_path / 'a.pth', own=Refuses(1))
        torch.serialization.add_safe_globals([Refuses])
        with pytest.raises(CheckpointError, match='my own reason') as caught:
            load(path)
        assert isinstance(caught.value.__cause__, ValueError)
    finally:
        del globals()['Refuses']


# Schemes


@pytest.mark.parametrize(
    'settings',
    [
        {},
        dict(weights_only=False),
        dict(weights_only=False, pickle_module=pickle),
        dict(mmap=True),
    ],
    ids=lambda settings: ', '.join(settings) or 'nothing',
)
def test_a_scheme_that_is_registered_since_is_held_and_stays_the_users(
    tmp_path, schemes, settings
):
    def own_loader(name, map_location):
        return torch.load(name[7:], map_location, **settings)

    CheckpointLoader.register_scheme('mine://', own_loader)
    evil = save(tmp_path / 'evil.pth', meta=makes_folder(tmp_path / 'trace'))
    good = save(tmp_path / 'good.pth', loss=HistoryBuffer([1.0], [1]))
    with pytest.raises(CheckpointError, match='asks for posix.mkdir') as caught:
        load(f'mine://{evil}')
    assert str(caught.value).startswith(f'mine://{evil}: {evil} is refused')
    assert not (tmp_path / 'trace').exists()
    assert load(f'mine://{good}')['loss'].mean() == 1.0
    assert CheckpointLoader._schemes['mine://'] is own_loader


def test_a_scheme_may_read_from_an_open_file(tmp_path, schemes):
    def own_loader(name, map_location):
        with open(name[7:], 'rb') as file:
            return torch.load(file, map_location)

    CheckpointLoader.register_scheme('mine://', own_loader)
    good = save(tmp_path / 'good.pth', loss=HistoryBuffer([1.0], [1]))
    assert load(f'mine://{good}')['loss'].mean() == 1.0


def test_errors_of_a_users_loader_are_left_as_they_are(tmp_path, schemes):
    def own_loader(name, map_location):
        raise RuntimeError('no such bucket')

    CheckpointLoader.register_scheme('mine://', own_loader)
    with pytest.raises(RuntimeError, match='^no such bucket$'):
        load('mine://a')


def test_a_loader_that_a_user_has_put_in_mmengines_place_is_kept(schemes):
    def own_loader(name, map_location):
        return {'state_dict': {}}

    disallow_mmengine_checkpoints()
    CheckpointLoader.register_scheme('', own_loader, force=True)
    allow_mmengine_checkpoints()
    try:
        assert CheckpointLoader._schemes[''] is own_loader
        assert load('anything') == {'state_dict': {}}
    finally:
        disallow_mmengine_checkpoints()
        CheckpointLoader.register_scheme('', theirs.load_from_local, force=True)
        allow_mmengine_checkpoints()


def test_torch_load_is_held_in_its_own_thread_only(tmp_path, schemes):
    evil = save(tmp_path / 'evil.pth', meta=makes_folder(tmp_path / 'trace'))
    within, done = threading.Event(), threading.Event()

    def own_loader(name, map_location):
        within.set()
        assert done.wait(60)
        return torch.load(name[7:], map_location, weights_only=False)

    def load_held():
        with pytest.raises(CheckpointError):
            load(f'mine://{evil}')
        return 'held'

    CheckpointLoader.register_scheme('mine://', own_loader)
    results = []
    thread = threading.Thread(target=lambda: results.append(load_held()))
    thread.start()
    assert within.wait(60)
    # This thread's own load is its own business, also while the other is held.
    torch.load(evil, weights_only=False)
    assert (tmp_path / 'trace').exists()
    done.set()
    thread.join()
    assert results == ['held']


def test_no_environment_variable_turns_the_safe_loader_off(
    tmp_path, monkeypatch, schemes
):
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    CheckpointLoader.register_scheme(
        'mine://', lambda name, map_location: torch.load(name[7:], map_location)
    )
    evil = save(tmp_path / 'evil.pth', meta=makes_folder(tmp_path / 'trace'))
    for address in (evil, f'mine://{evil}'):
        with pytest.raises(CheckpointError, match='mkdir'):
            load(address)
    assert not (tmp_path / 'trace').exists()
    assert os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] == '1'
    assert 'TORCH_FORCE_WEIGHTS_ONLY_LOAD' not in os.environ


# Putting it in and taking it out


def replaced():
    own = {(r.owner, r.name): vars(r.owner)[r.name] for r in REPLACEMENTS}
    return own, dict(CheckpointLoader._schemes)


def test_doing_it_again_changes_nothing():
    before = replaced()
    allow_mmengine_checkpoints()
    assert replaced() == before


def test_taking_it_out_puts_everything_back():
    installed, schemes = replaced()
    disallow_mmengine_checkpoints()
    try:
        own, table = replaced()
        assert all(own[key] is not installed[key] for key in own)
        assert torch.load is torch.serialization.load
        assert CheckpointLoader.load_checkpoint.__module__ == theirs.__name__
        assert Runner.resume.__module__ == 'mmengine.runner.runner'
        assert table[''] is theirs.load_from_local
        assert table['https://'] is theirs.load_from_http
        assert not [prefix for prefix in table if prefix.startswith(('timm', 'hf'))]
        disallow_mmengine_checkpoints()
        assert replaced() == (own, table)
    finally:
        allow_mmengine_checkpoints()
    assert list(CheckpointLoader._schemes) == list(schemes)


def test_what_somebody_else_has_replaced_since_is_left_to_them(monkeypatch):
    held = torch.load
    other = functools.partial(held, weights_only=False)
    monkeypatch.setattr(torch, 'load', other)
    disallow_mmengine_checkpoints()
    assert torch.load is other
    monkeypatch.undo()
    torch.load = torch.serialization.load
    allow_mmengine_checkpoints()


def test_each_replacement_says_why():
    assert len({(r.owner, r.name) for r in REPLACEMENTS}) == len(REPLACEMENTS)
    assert all(r.why for r in REPLACEMENTS)


def test_a_torch_that_is_too_old_is_named(monkeypatch):
    monkeypatch.setattr(torch, '__version__', '2.5.1+cpu')
    with pytest.raises(RuntimeError, match=r'torch 2\.5\.1\+cpu .* torch >= 2\.6'):
        allow_mmengine_checkpoints()


def test_a_load_has_an_unpickler_of_its_own():
    one, other = (upstream.own_unpickler([(Namespace, 'n')]) for _ in range(2))
    assert one is not other
    assert one is not torch._weights_only_unpickler
    assert 'n' not in torch._weights_only_unpickler._get_user_allowed_globals()
