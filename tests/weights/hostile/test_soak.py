"""Ten thousand loads in four threads, with loads of other people beside them."""

import os
import threading

import numpy as np
import pytest
import torch
from crafted import makes_folder, save
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

from plugin.weights.files.safe_loading import CheckpointError


class Stats:
    """A user's class, listed for the whole process."""

    def __init__(self, values):
        self.values = values


class Settings:
    """A class of other people, listed while they load."""

    def __init__(self, rate):
        self.rate = rate


def state():
    return (
        set(torch.serialization.get_safe_globals()),
        {k: v for k, v in os.environ.items() if k.startswith('TORCH')},
        torch.load,
        torch.hub.download_url_to_file,
        list(CheckpointLoader._schemes.items()),
        list(torch._utils._sparse_tensors_to_validate),
        dict(HistoryBuffer._statistics_methods),
    )


@pytest.fixture
def files(tmp_path):
    """Checkpoints by what they are."""
    theirs = {'w': torch.ones(3), 'args': Settings(0.1)}
    torch.save(theirs, tmp_path / 'theirs.pth')
    logs = {'log_scalars': {'loss': HistoryBuffer([1.0, 3.0], [1, 1])}}
    more = dict(message_hub=logs, best=np.float64(0.5), eye=torch.eye(3).to_sparse())
    return dict(
        good=save(tmp_path / 'good.pth', own=Stats([1]), **more),
        evil=save(tmp_path / 'evil.pth', meta=makes_folder(tmp_path / 'trace')),
        theirs=tmp_path / 'theirs.pth',
        folder=tmp_path,
    )


@pytest.fixture
def listed():
    before = torch.serialization.get_safe_globals()
    schemes = CheckpointLoader._schemes
    CheckpointLoader._schemes = schemes.copy()
    torch.serialization.add_safe_globals([Stats])
    yield
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(before)
    CheckpointLoader._schemes = schemes


def load(address):
    return CheckpointLoader.load_checkpoint(str(address), 'cpu', logger='silent')


def through_mmengine(files):
    checkpoint = load(files['good'])
    assert checkpoint['own'].values == [1]
    assert checkpoint['message_hub']['log_scalars']['loss'].mean() == 2.0
    assert checkpoint['eye'].to_dense().sum() == 3


def refused(files):
    with pytest.raises(CheckpointError, match='asks for posix.mkdir'):
        load(files['evil'])


def through_a_scheme(files):
    assert load(f'mine://{files["good"]}')['best'] == 0.5


def of_other_people(files):
    assert torch.load(files['theirs'], weights_only=False)['args'].rate == 0.1
    with torch.serialization.safe_globals([Settings]):
        assert torch.load(files['theirs'], weights_only=True)['args'].rate == 0.1
        assert Stats in torch.serialization.get_safe_globals()


def hammer(files, threads):
    """Run each list of jobs in a thread of its own, at once; what has gone wrong."""
    failures, start = [], threading.Barrier(len(threads))

    def run(jobs):
        start.wait(60)
        for job in jobs:
            try:
                job(files)
            except BaseException as error:
                failures.append((job.__name__, repr(error)))

    workers = [threading.Thread(target=run, args=(jobs,)) for jobs in threads]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return failures


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize(
    'rounds', [25, pytest.param(1250, marks=pytest.mark.slow)], ids=['200', '10,000']
)
def test_loads_in_four_threads_neither_fail_nor_change_anything(files, listed, rounds):
    def own_loader(name, map_location):
        return torch.load(name[7:], map_location, weights_only=False)

    CheckpointLoader.register_scheme('mine://', own_loader)
    before = state()
    threads = [
        [through_mmengine, through_mmengine] * rounds,
        [through_mmengine, refused] * rounds,
        [through_a_scheme, of_other_people] * rounds,
        [through_mmengine, through_a_scheme] * rounds,
    ]
    assert hammer(files, threads) == []
    assert state() == before
    assert not (files['folder'] / 'trace').exists()
