"""A run resumes from what mmengine wrote, and does nothing else that a file says."""

import logging
import sys

import pytest
import torch
from crafted import save
from mmengine.logging import MMLogger
from mmengine.runner import CheckpointLoader
from tiny_runner import AtStart, tiny_runner

from plugin.weights.files.safe_loading import (
    CheckpointError,
    allow_mmengine_checkpoints,
)


@pytest.fixture(autouse=True)
def allowed():
    allow_mmengine_checkpoints()


@pytest.fixture(scope='module')
def first(tmp_path_factory):
    """A finished run of two epochs."""
    allow_mmengine_checkpoints()
    runner = tiny_runner(tmp_path_factory.mktemp('first') / 'run')
    runner.train()
    return runner


def load(path):
    return CheckpointLoader.load_checkpoint(str(path), 'cpu', logger=None)


def changed(first, tmp_path, change):
    """The first run's last checkpoint, changed, in a folder of its own."""
    checkpoint = load(f'{first.work_dir}/epoch_2.pth')
    change(checkpoint)
    folder = tmp_path / 'changed'
    folder.mkdir(exist_ok=True)
    torch.save(checkpoint, folder / 'epoch_2.pth')
    return folder / 'epoch_2.pth'


def resume(path, tmp_path, **settings):
    runner = tiny_runner(
        tmp_path / 'second', epochs=3, load_from=str(path), resume=True, **settings
    )
    start = AtStart()
    runner.register_hook(start, 'LOWEST')
    runner.train()
    return runner, start


@pytest.fixture
def warnings():
    """Return what is logged as a warning, by any logger of mmengine."""
    records = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: records.append(record.getMessage())

    def messages():
        return [m for m in records if 'left out' in m]

    original = MMLogger.callHandlers

    def call(self, record):
        if record.levelno >= logging.WARNING:
            handler.emit(record)
        return original(self, record)

    MMLogger.callHandlers = call
    yield messages
    MMLogger.callHandlers = original


def test_a_runner_resumes_from_the_checkpoint_that_it_wrote(first, tmp_path, warnings):
    losses = first.message_hub.get_scalar('train/loss').data[0]
    next_lr = first.optim_wrapper.get_lr()['lr'][0]

    second, start = resume(f'{first.work_dir}/epoch_2.pth', tmp_path)

    assert start.progress == (2, 4)
    for ours, theirs in zip(start.weights, first.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert start.logged == 4
    assert (second.epoch, second.iter) == (3, 6)
    hub = second.message_hub
    assert hub.get_scalar('train/loss').data[0][:4].tolist() == losses.tolist()
    assert hub.get_scalar('train/lr').data[0][4] == next_lr
    assert hub.get_info('best_score') == 2.0
    assert warnings() == []


# Config texts


@pytest.fixture
def evil_module(tmp_path, monkeypatch):
    """A module that leaves a trace where it is imported."""
    trace = tmp_path / 'imported'
    (tmp_path / 'evilmod.py').write_text(f'open({str(trace)!r}, "w")')
    monkeypatch.syspath_prepend(tmp_path)
    yield trace
    sys.modules.pop('evilmod', None)


@pytest.mark.parametrize(
    'text',
    [
        'open({trace!r}, "w")',
        "custom_imports = dict(imports=['evilmod'])",
        "custom_imports = dict(imports=['evilmod'])\ngpu_ids = [0]",
        "_base_ = '{folder}/evilmod.py'",
        'dict = 5\na = dict()',
        "filename = 'a'",
        '_deprecation_ = 5',
        'from evilmod import x',
        'a = {trace!r} + 5',
    ],
)
def test_the_config_text_of_a_file_is_not_executed(
    first, tmp_path, evil_module, text, warnings
):
    text = text.format(trace=str(evil_module), folder=tmp_path)

    def change(checkpoint):
        checkpoint['meta']['config'] = text

    path = changed(first, tmp_path, change)
    _, start = resume(path, tmp_path)
    assert start.progress == (2, 4)
    assert not evil_module.exists()
    (line,) = warnings()
    assert line.startswith(f'{path}: left out ')
    assert 'of the config text in meta' in line


def test_the_number_of_gpus_in_a_config_text_is_heard(first, tmp_path):
    def change(checkpoint):
        checkpoint['meta']['config'] = 'import os\ngpu_ids = [0, 1]'

    path = changed(first, tmp_path, change)
    with pytest.raises(RuntimeError, match='Number of GPUs'):
        resume(path, tmp_path)


# Files that mmengine would delete


@pytest.fixture
def precious(tmp_path):
    folder = tmp_path / 'precious'
    folder.mkdir()
    (folder / 'best_of_years.pth').write_text('mine')
    return folder


@pytest.mark.parametrize(
    'best',
    [
        'precious',
        'precious/best_of_years.pth',
        'changed',
        'changed/epoch_2.pth',
        'changed/best_photos',
    ],
)
def test_no_file_of_the_users_is_deleted_as_the_best_checkpoint(
    first, tmp_path, precious, best, warnings, monkeypatch
):
    monkeypatch.setattr('tiny_runner.TinyMetric.compute_metrics', better)

    def change(checkpoint):
        info = checkpoint['message_hub']['runtime_info']
        info['best_ckpt'], info['best_score'] = str(tmp_path / best), -1.0

    (tmp_path / 'changed/best_photos').mkdir(parents=True)
    path = changed(first, tmp_path, change)
    resume(path, tmp_path)
    assert (tmp_path / 'changed/best_photos').is_dir()
    assert (precious / 'best_of_years.pth').read_text() == 'mine'
    assert path.exists()
    (line,) = warnings()
    assert f"best_ckpt '{tmp_path / best}'" in line


def better(self, results):
    return {'score': 100.0}


def test_the_best_checkpoint_beside_it_is_replaced_as_ever(
    first, tmp_path, warnings, monkeypatch
):
    monkeypatch.setattr('tiny_runner.TinyMetric.compute_metrics', better)
    best = tmp_path / 'changed/best_score_epoch_1.pth'

    def change(checkpoint):
        info = checkpoint['message_hub']['runtime_info']
        info['best_ckpt'], info['best_score'] = str(best), -1.0

    path = changed(first, tmp_path, change)
    best.write_text('an earlier best')
    resume(path, tmp_path)
    assert not best.exists()
    assert warnings() == []


def test_a_best_checkpoint_that_is_elsewhere_by_now_is_no_reason_to_warn(
    first, tmp_path, warnings
):
    def change(checkpoint):
        info = checkpoint['message_hub']['runtime_info']
        info['best_ckpt'] = '/another/machine/best_score_epoch_1.pth'

    load(changed(first, tmp_path, change))
    assert warnings() == []


@pytest.mark.parametrize('ids', [['../../precious'], [1.5], 5, [True], [-1]])
def test_names_of_checkpoints_to_delete_are_numbers(first, tmp_path, ids, warnings):
    def change(checkpoint):
        checkpoint['message_hub']['runtime_info']['keep_ckpt_ids'] = ids

    path = changed(first, tmp_path, change)
    assert 'keep_ckpt_ids' not in load(path)['message_hub']['runtime_info']
    assert len(warnings()) == 1


# Nothing to resume from


def test_a_file_of_weights_alone_says_so_and_what_to_write(tmp_path):
    path = save(tmp_path / 'weights.pth')
    with pytest.raises(CheckpointError) as caught:
        resume(path, tmp_path)
    message = str(caught.value)
    assert message.startswith(f'{path} has weights and no training to resume')
    assert message.endswith(f'write --cfg-options load_from={path}')
    # And that starts a training from them.
    runner = tiny_runner(tmp_path / 'third', epochs=1, load_from=str(path))
    start = AtStart()
    runner.register_hook(start)
    runner.train()
    assert start.weights[0].tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda c: c.pop('message_hub'), "it lacks 'message_hub'"),
        (lambda c: c.update(meta=5), "it lacks 'meta'"),
        (lambda c: c['meta'].pop('epoch'), 'its epoch is None, not a number'),
        (lambda c: c['meta'].update(iter='1'), "its iter is '1', not a number"),
        (lambda c: c['meta'].update(iter=-1), 'its iter is -1, not a number'),
        (lambda c: c['meta'].update(iter=[1]), 'its iter is a list, not a number'),
        (lambda c: c['meta'].update(seed='x'), "its seed is 'x', not a number"),
        (
            lambda c: c['message_hub'].update(log_scalars={'a': 5}),
            'its message_hub is not as mmengine writes it',
        ),
        (
            lambda c: c['message_hub'].update(runtime_info=[1]),
            'its message_hub is not as mmengine writes it',
        ),
    ],
)
def test_what_a_file_lacks_to_be_resumed_is_said(first, tmp_path, change, message):
    path = changed(first, tmp_path, change)
    with pytest.raises(CheckpointError, match=message) as caught:
        resume(path, tmp_path)
    assert str(path) in str(caught.value)
    load(path)  # To load it is nothing to object to.


@pytest.mark.parametrize('text', ['', '\n', '  '])
def test_an_empty_pointer_to_the_last_checkpoint_is_named(tmp_path, text):
    folder = tmp_path / 'run'
    folder.mkdir()
    (folder / 'last_checkpoint').write_text(text)
    save(folder / 'epoch_1.pth')
    with pytest.raises(CheckpointError) as caught:
        tiny_runner(folder, resume=True).train()
    message = str(caught.value)
    assert message.startswith(f'{folder / "last_checkpoint"} is empty')
    assert message.endswith('name one yourself (there is epoch_1.pth)')


def test_a_run_without_a_pointer_starts_anew(tmp_path):
    runner = tiny_runner(tmp_path / 'run', epochs=1, resume=True)
    runner.train()
    assert runner.epoch == 1
