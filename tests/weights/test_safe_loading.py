"""Checkpoints: mmengine's own load whole, and nothing in a file runs code."""

import functools
import http.server
import os
import pickle
import threading
import zipfile

import numpy as np
import pytest
import torch
from mmengine import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import CheckpointLoader, Runner, load_checkpoint
from torch import nn
from torch.utils.data import Dataset

from plugin.weights.files.safe_globals import SAFE_GLOBALS, STATISTICS
from plugin.weights.files.safe_loading import (
    CheckpointError,
    allow_mmengine_checkpoints,
)

MULTIARRAY = np.array(0).__reduce__()[0].__module__  # numpy 2: numpy._core.multiarray
OPEN = f'{open.__module__}.open'  # io.open; _io.open since Python 3.12


@pytest.fixture(autouse=True)
def allowed():
    allow_mmengine_checkpoints()


class Call:
    """Pickles as a call of ``function``; ``state`` is then set on the result."""

    def __init__(self, function, *args, state=None):
        self.parts = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.parts


def creates(file):
    return Call(open, str(file), 'w')


def load(path):
    """What ``load_from`` and ``init_cfg`` of a config come down to."""
    return CheckpointLoader.load_checkpoint(str(path), 'cpu', logger=None)


def save(path, **contents):
    torch.save({'state_dict': {'linear.weight': torch.ones(1, 2)}, **contents}, path)
    return path


def edit_pickle(path, edit):
    """Rewrite the pickle inside of a checkpoint by a function of its bytes."""
    with zipfile.ZipFile(path) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_STORED) as archive:
        for name, record in records.items():
            archive.writestr(name, edit(record) if name.endswith('.pkl') else record)


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


# What mmengine writes


@pytest.mark.parametrize(
    'multiarray', ['numpy.core.multiarray', 'numpy._core.multiarray']
)
@pytest.mark.parametrize('read', [load, torch.load])
def test_log_history_loads_whole_from_either_numpy(tmp_path, multiarray, read):
    buffer = HistoryBuffer([3.0, 1.0, 2.0], [1, 1, 2])
    path = save(tmp_path / 'a.pth', loss=buffer, best=np.float64(0.25))
    written_under(path, multiarray)

    checkpoint = read(path)

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
def test_arrays_keep_their_values_and_pickle_as_plain_arrays(tmp_path, array):
    loaded = load(save(tmp_path / 'a.pth', array=array))['array']
    expected = pickle.loads(pickle.dumps(array, 2))
    assert (loaded.shape, loaded.dtype) == (expected.shape, expected.dtype)
    assert loaded.flags.f_contiguous == expected.flags.f_contiguous
    np.testing.assert_array_equal(loaded, expected)
    assert type(pickle.loads(pickle.dumps(loaded))) is np.ndarray


def test_the_statistics_allowed_are_those_of_history_buffer():
    assert set(HistoryBuffer()._statistics_methods) == set(STATISTICS)


def test_a_files_table_of_statistics_does_not_reach_the_process(tmp_path):
    before = dict(HistoryBuffer()._statistics_methods)
    buffer = HistoryBuffer([1.0, 3.0], [1, 1])
    buffer._statistics_methods = {'mean': set, 'more': set}
    loaded = load(save(tmp_path / 'a.pth', loss=buffer))['loss']
    assert loaded.statistics('mean') == 2.0
    assert HistoryBuffer._statistics_methods == before


class TinyData(Dataset):
    metainfo = {'classes': ('a',), 'palette': np.zeros((1, 3), np.uint8)}

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return {'inputs': torch.tensor([index, 1.0])}


class TinyModel(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 1)

    def forward(self, inputs, mode='tensor'):
        out = self.linear(torch.stack(list(inputs)))
        return {'loss': out.square().mean()} if mode == 'loss' else out


class TinyMetric(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.append(1.0)

    def compute_metrics(self, results):
        return {'score': np.float64(len(results))}


def tiny_runner(work_dir, epochs=2, **settings):
    loader = dict(
        batch_size=2,
        dataset=TinyData(),
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    return Runner(
        model=TinyModel(),
        work_dir=str(work_dir),
        train_dataloader=loader,
        val_dataloader=dict(loader),
        train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1),
        val_cfg=dict(),
        val_evaluator=[TinyMetric()],
        test_dataloader=dict(loader),
        test_cfg=dict(),
        test_evaluator=[TinyMetric()],
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.1)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=2),
            dict(type='CosineAnnealingLR', T_max=5),
        ],
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', save_best='score', rule='greater')
        ),
        custom_hooks=[dict(type='EMAHook')],
        default_scope='mmengine',
        experiment_name=str(work_dir),
        log_level='WARNING',
        **settings,
    )


class AtStart(Hook):
    """Notes where the training starts, once the checkpoint is loaded."""

    def before_train(self, runner):
        self.progress = (runner.epoch, runner.iter)
        self.weights = [p.detach().clone() for p in runner.model.parameters()]
        self.logged = len(runner.message_hub.get_scalar('train/loss').data[0])


def test_a_runner_resumes_from_the_checkpoint_that_it_wrote(tmp_path):
    first = tiny_runner(tmp_path / 'first')
    first.train()
    losses = first.message_hub.get_scalar('train/loss').data[0]
    next_lr = first.optim_wrapper.get_lr()['lr'][0]

    file = str(tmp_path / 'first/epoch_2.pth')
    second = tiny_runner(tmp_path / 'second', epochs=3, load_from=file, resume=True)
    start = AtStart()
    second.register_hook(start, 'LOWEST')
    second.train()

    assert start.progress == (2, 4)
    for ours, theirs in zip(start.weights, first.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert start.logged == 4
    assert (second.epoch, second.iter) == (3, 6)
    hub = second.message_hub
    assert hub.get_scalar('train/loss').data[0][:4].tolist() == losses.tolist()
    assert hub.get_scalar('train/lr').data[0][4] == next_lr
    assert hub.get_info('best_score') == 2.0


# What nobody should be able to write


@pytest.mark.parametrize(
    'start', ['train', 'resume', 'test', 'torch.load', 'old format']
)
def test_a_file_whose_pickle_creates_a_file_is_refused(tmp_path, start):
    trace = tmp_path / 'trace'
    pickle.loads(pickle.dumps(creates(trace), 2))
    assert trace.exists()  # the attack works on a loader that is not safe
    trace.unlink()
    path = save(tmp_path / 'evil.pth', meta=creates(trace))

    if start == 'torch.load':
        with pytest.raises(pickle.UnpicklingError, match=OPEN):
            torch.load(path)
    else:
        if start == 'old format':
            torch.save(creates(trace), path, _use_new_zipfile_serialization=False)
        runner = tiny_runner(
            tmp_path / 'run', load_from=str(path), resume=start == 'resume'
        )
        with pytest.raises(CheckpointError, match=f'asks for {OPEN}') as caught:
            runner.test() if start == 'test' else runner.train()
        assert str(path) in str(caught.value)
        assert 'weights_only' not in str(caught.value)
    assert not trace.exists()


def test_a_refusal_names_all_that_the_file_asks_for(tmp_path):
    path = save(tmp_path / 'a.pth', a=Call(os.system, 'true'), b=Call(eval, '1'))
    with pytest.raises(CheckpointError, match=r'builtins\.eval, posix\.system\.'):
        load(path)


@pytest.mark.parametrize(
    'value',
    [
        Call(getattr, HistoryBuffer, 'update'),
        Call(getattr, HistoryBuffer, '__init__'),
        Call(getattr, HistoryBuffer.mean, '__globals__'),
        Call(getattr, Call(set), 'pop'),
        Call(getattr, 'text', 'format'),
    ],
)
@pytest.mark.parametrize('read', [load, torch.load])
def test_getattr_reaches_nothing_but_the_statistics(tmp_path, value, read):
    with pytest.raises(CheckpointError, match='getattr of'):
        read(save(tmp_path / 'a.pth', value=value))


def scalar(dtype, contents):
    return Call(np.float64(0).__reduce__()[0], dtype, contents)


def structured(code):
    """A dtype with an object field that its flags deny: raw bytes become pointers."""
    fields = {'a': (np.dtype('O'), 0)}
    return Call(
        np.dtype, code, False, True, state=(3, '|', None, ('a',), fields, 8, 1, 0)
    )


def array_of(dtype, raw=b'\x41' * 8):
    reconstruct, args, _ = np.array(0).__reduce__()
    return Call(reconstruct, *args, state=(1, (1,), dtype, False, raw))


NESTED = b'the pickle of an attack'
NUMPY_ATTACKS = {
    'object array': np.array([NESTED, None], dtype=object),
    'object scalar': scalar(np.dtype('O'), NESTED),
    'void dtype with an object field': array_of(structured('V8')),
    'float dtype with an object field': array_of(structured('f8')),
    'flags of a reference on a float': array_of(
        Call(np.dtype, 'f8', False, True, state=(3, '<', 8, None, None, 8, 1, 1))
    ),
    'dtype of a function': scalar(Call(np.dtype, set), b'12345678'),
    'scalar of too many bytes': scalar(np.dtype('f8'), b'123456789'),
    'array from a list': array_of(np.dtype('f8'), [1.0]),
    'array of another class': Call(
        np.array(0).__reduce__()[0], set, (0,), b'b', state=(1, (0,), 0, False, b'')
    ),
}


@pytest.mark.parametrize('name', NUMPY_ATTACKS)
@pytest.mark.parametrize('read', [load, torch.load])
def test_numpys_own_ways_to_unpickle_are_closed(tmp_path, name, read):
    with pytest.raises(CheckpointError, match='numpy'):
        read(save(tmp_path / 'a.pth', value=NUMPY_ATTACKS[name]))


def test_an_object_scalar_does_not_unpickle_what_it_holds(tmp_path):
    trace = tmp_path / 'trace'
    value = scalar(np.dtype('O'), pickle.dumps(creates(trace)))
    with pytest.raises(CheckpointError, match="dtype 'O8'"):
        load(save(tmp_path / 'a.pth', value=value))
    assert not trace.exists()


def test_an_array_is_not_filled_twice(tmp_path):
    # The second filling would free memory that a tensor of the first one shares.
    path = save(tmp_path / 'a.pth', array=None)
    array = pickle.dumps(np.ones(3), 2)
    assert array[-5:-4] == b't' and array[-4:-3] == b'q' and array[-2:] == b'b.'
    again = b'h' + array[-3:-2] + b'b.'  # BINGET of the state, BUILD, STOP
    edit_pickle(path, lambda data: array[:-1] + again)
    with pytest.raises(CheckpointError, match='numpy array of unknown make'):
        torch.load(path)


def test_the_config_text_of_a_file_is_not_executed_on_resume(tmp_path):
    tiny_runner(tmp_path / 'first', epochs=1).train()
    trace = tmp_path / 'trace'
    checkpoint = load(tmp_path / 'first/epoch_1.pth')
    checkpoint['meta']['config'] = f'open({str(trace)!r}, "w")'
    torch.save(checkpoint, tmp_path / 'evil.pth')

    evil = str(tmp_path / 'evil.pth')
    runner = tiny_runner(tmp_path / 'second', load_from=evil, resume=True)
    start = AtStart()
    runner.register_hook(start)
    runner.train()

    assert start.progress == (1, 2)
    assert not trace.exists()


@pytest.mark.parametrize('place', ['meta', 'runtime_info'])
def test_config_text_that_only_sets_values_is_kept(tmp_path, place):
    text = "a = dict(b=[1, -2.5, ('c', None)], **{'d-e': {True}})\nf = {1: dict()}\n"
    holders = {'meta': {'cfg': text}, 'runtime_info': {'cfg': text}}
    checkpoint = load(
        save(
            tmp_path / 'a.pth',
            meta=holders['meta'],
            message_hub={'runtime_info': holders['runtime_info']},
        )
    )
    hub_info = checkpoint['message_hub']['runtime_info']
    assert {'meta': checkpoint['meta'], 'runtime_info': hub_info}[place]['cfg'] == text
    Config.fromstring(text, '.py')


@pytest.mark.parametrize(
    'text',
    [
        'import os',
        'a = open("b")',
        'a = dict(b=[print(1)])',
        'a = dict(**print())',
        'a = dict(print())',
        'a = dict(*print())',
        'a = {print(): 1}',
        'a = {1: print()}',
        'a = {**print()}',
        'a = [b for b in (1,)]',
        'a = (lambda: 1)()',
        'a = f"{print()}"',
        'a["b"] = 1',
        "_base_ = 'other.py'",
        "a = '{{ $HOME: }}'",
        'a = ',
        b'a = 1',
    ],
)
@pytest.mark.parametrize('place', ['meta', 'runtime_info'])
def test_config_text_that_does_more_is_dropped_with_a_warning(tmp_path, text, place):
    holder = {'cfg': text, 'seed': 1}
    path = save(
        tmp_path / 'a.pth',
        **({'meta': holder} if place == 'meta' else {'message_hub': {place: holder}}),
    )
    checkpoint = CheckpointLoader.load_checkpoint(str(path), 'cpu', logger='silent')
    got = checkpoint['meta'] if place == 'meta' else checkpoint['message_hub'][place]
    assert got == {'seed': 1}


# Every way in


def test_doing_it_again_changes_nothing():
    schemes = dict(CheckpointLoader._schemes)
    allowed = set(torch.serialization.get_safe_globals())
    allow_mmengine_checkpoints()
    assert CheckpointLoader._schemes == schemes
    assert set(torch.serialization.get_safe_globals()) == allowed
    assert set(SAFE_GLOBALS) <= allowed


def test_a_scheme_registered_since_is_covered_by_doing_it_again(tmp_path):
    trace = tmp_path / 'trace'
    path = save(tmp_path / 'evil.pth', meta=creates(trace))
    schemes = CheckpointLoader._schemes
    try:
        CheckpointLoader.register_scheme(
            'mine://', lambda name, map_location: torch.load(name[7:], map_location)
        )
        allow_mmengine_checkpoints()
        with pytest.raises(CheckpointError, match=OPEN):
            load(f'mine://{path}')
    finally:
        CheckpointLoader._schemes = schemes
    assert not trace.exists()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder, and the address under which a local server offers it."""
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.setattr('torch.hub._hub_dir', None)
    folder = tmp_path / 'served'
    folder.mkdir()
    handler = functools.partial(
        http.server.SimpleHTTPRequestHandler, directory=str(folder)
    )
    handler.log_message = None
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield folder, f'http://127.0.0.1:{httpd.server_address[1]}'
        httpd.shutdown()
        thread.join()


def test_a_download_is_held_to_the_safe_loader(server, tmp_path):
    folder, address = server
    trace = tmp_path / 'trace'
    save(folder / 'evil.pth', meta=creates(trace), more=Call(eval, '1'))
    save(folder / 'good.pth', loss=HistoryBuffer([1.0], [1]))
    with pytest.raises(CheckpointError, match='asks for') as caught:
        load(f'{address}/evil.pth')
    assert 'builtins.eval' in str(caught.value) and OPEN in str(caught.value)
    assert not trace.exists()
    assert load(f'{address}/good.pth')['loss'].mean() == 1.0


def test_a_damaged_download_says_where_it_is_kept(server, tmp_path):
    folder, address = server
    truncated(folder / 'half.pth')
    kept = tmp_path / 'torch/hub/checkpoints/half.pth'
    with pytest.raises(CheckpointError, match=f'kept at {kept}. is truncated'):
        load(f'{address}/half.pth')


def test_no_environment_variable_turns_the_safe_loader_off(tmp_path, monkeypatch):
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    trace = tmp_path / 'trace'
    with pytest.raises(CheckpointError, match=OPEN):
        load(save(tmp_path / 'evil.pth', meta=creates(trace)))
    assert not trace.exists()
    assert os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] == '1'
    assert 'TORCH_FORCE_WEIGHTS_ONLY_LOAD' not in os.environ


def test_numpy_globals_that_others_listed_neither_disturb_nor_are_lost(tmp_path):
    path = save(tmp_path / 'a.pth', best=np.float64(0.5), a=np.arange(3))
    before = torch.serialization.get_safe_globals()
    reconstruct, args, _ = np.array(0).__reduce__()
    theirs = [np.dtype, np.ndarray, reconstruct, type(np.dtype('f8'))]
    try:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(theirs)
        allow_mmengine_checkpoints()
        assert set(torch.serialization.get_safe_globals()) == set(theirs)
        for listed in (theirs, [*theirs, *SAFE_GLOBALS]):
            torch.serialization.add_safe_globals(listed)
            checkpoint = load(path)
            assert checkpoint['best'] == 0.5
            assert checkpoint['a'].tolist() == [0, 1, 2]
            assert set(torch.serialization.get_safe_globals()) == set(listed)
    finally:
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(before)


def test_map_location_reaches_torch(tmp_path):
    path = save(tmp_path / 'a.pth')
    loaded = CheckpointLoader.load_checkpoint(str(path), 'meta', logger=None)
    assert loaded['state_dict']['linear.weight'].device.type == 'meta'


def test_plain_weights_load_into_a_model(tmp_path):
    model = TinyModel()
    load_checkpoint(model, str(save(tmp_path / 'a.pth')), map_location='cpu')
    assert model.linear.weight.tolist() == [[1.0, 1.0]]


# Files that are no checkpoints


def truncated(path, missing=200, old_format=False):
    torch.save(
        {'a': torch.ones(1000)}, path, _use_new_zipfile_serialization=not old_format
    )
    path.write_bytes(path.read_bytes()[:-missing])


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (truncated, r'is truncated or damaged \(\d+ bytes\)'),
        (functools.partial(truncated, missing=100), 'is truncated or damaged'),
        (functools.partial(truncated, old_format=True), 'is truncated or damaged'),
        (lambda p: p.write_bytes(b''), r'is empty \(0 bytes\)'),
        (
            lambda p: p.write_text('version https://git-lfs.github.com/spec/v1\n'),
            "is not a checkpoint: it begins with b'version https://git-lfs",
        ),
        (
            lambda p: p.write_bytes(pickle.dumps({'a': 1}, 4)),
            'is damaged: UnpicklingError: Unsupported operand',
        ),
        (lambda p: torch.save(torch.ones(1), p), 'holds a Tensor, not a dict'),
        (
            lambda p: torch.jit.script(nn.Linear(1, 1)).save(p),
            'is a TorchScript archive',
        ),
    ],
    ids=[
        'truncated',
        'no end',
        'old and truncated',
        'empty',
        'text',
        'pickle',
        'tensor',
        'torchscript',
    ],
)
@pytest.mark.filterwarnings('ignore::DeprecationWarning', 'ignore:.*torch.*')
def test_a_file_that_is_no_checkpoint_says_what_it_is(tmp_path, make, message):
    path = tmp_path / 'a.pth'
    make(path)
    with pytest.raises(CheckpointError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f'{path} ')
    assert 'weights_only' not in str(caught.value)


def test_a_folder_is_answered_with_the_checkpoints_in_it(tmp_path):
    save(tmp_path / 'epoch_2.pth')
    with pytest.raises(CheckpointError, match=r'is a folder; .* \(epoch_2.pth\)'):
        load(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='no.pth can not be found'):
        load(tmp_path / 'no.pth')


def test_an_error_that_is_not_the_files_is_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr('torch.hub._hub_dir', str(tmp_path))
    (tmp_path / 'checkpoints').mkdir()
    with pytest.raises(RuntimeError, match='nowhere'):
        CheckpointLoader.load_checkpoint(
            str(save(tmp_path / 'a.pth')), 'nowhere', logger=None
        )
    with pytest.raises(KeyError):
        load('openmmlab://no-such-model')


def test_a_torch_that_is_too_old_is_named(monkeypatch):
    monkeypatch.setattr(torch, '__version__', '2.5.1+cpu')
    with pytest.raises(RuntimeError, match=r'torch 2\.5\.1\+cpu .* torch >= 2\.6'):
        allow_mmengine_checkpoints()


# The commands


@pytest.fixture
def tiny_config(tmp_path, repo_root, shapes):
    """The demo's config on 16 images: one epoch is two iterations."""
    base = repo_root / 'configs/det/retinanet_timm-resnet10t_fpn_1xb8-14e_shapes.py'
    loader = dict(batch_size=8, num_workers=0, persistent_workers=False)
    loader['dataset'] = dict(data_root=f'{shapes}/')
    evaluator = dict(ann_file=f'{shapes}/annotations/instances_val.json')
    settings = dict(
        _base_=str(base),
        train_dataloader=loader,
        val_dataloader=loader,
        test_dataloader=loader,
        val_evaluator=evaluator,
        test_evaluator=evaluator,
        train_cfg=dict(max_epochs=1, val_interval=100),
        default_hooks=dict(
            checkpoint=dict(interval=1, max_keep_ckpts=-1), logger=dict(interval=1)
        ),
    )
    config = tmp_path / 'tiny.py'
    config.write_text(''.join(f'{k} = {v!r}\n' for k, v in settings.items()))
    return config


@pytest.mark.slow
def test_mim_trains_resumes_tests_and_refuses(tmp_path, tiny_config, run_mim):
    work_dir = tmp_path / 'run'
    train = ('train', 'mmdet', tiny_config, '--work-dir', work_dir)
    run_mim(*train)
    more = run_mim(*train, '--resume', '--cfg-options', 'train_cfg.max_epochs=2')
    assert 'resumed epoch: 1, iter: 2' in more.stdout

    last = load(work_dir / 'epoch_2.pth')
    assert (last['meta']['epoch'], last['meta']['iter']) == (2, 4)
    assert len(last['message_hub']['log_scalars']['train/loss'].data[0]) == 4

    test = ('test', 'mmdet', tiny_config, '--work-dir', work_dir, '--checkpoint')
    tested = run_mim(*test, work_dir / 'epoch_2.pth')
    assert 'Epoch(test) [1/1]' in tested.stdout

    trace = tmp_path / 'trace'
    evil = save(tmp_path / 'evil.pth', meta=creates(trace))
    refused = run_mim(*test, evil, check=False)
    assert refused.returncode != 0
    assert f'evil.pth is refused: it asks for {OPEN}.' in refused.stdout
    assert 'weights_only' not in refused.stdout
    assert not trace.exists()
