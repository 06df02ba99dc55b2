"""Six pickles that run code, by every way that weights come in: nothing happens."""

import io
import json
import os
import pickle

import mmdet.models  # noqa: F401
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

from plugin.cli import main
from plugin.weights.files.safe_loading import CheckpointError
from plugin.weights.files.sources import read_checkpoint


class Call:
    """Pickles as a call."""

    def __init__(self, function, *args):
        self.parts = function, args

    def __reduce__(self):
        return self.parts


def in_the_weights(path, trace):
    torch.save({'state_dict': {'conv.weight': Call(os.mkdir, trace)}}, path)


def besides_the_weights(path, trace):
    code = f'open({trace!r}, "w")'
    meta = Call(eval, code)
    torch.save({'state_dict': {'conv.weight': torch.ones(1)}, 'meta': meta}, path)


def in_the_old_format(path, trace):
    attack = {'conv.weight': torch.ones(1), 'more': Call(open, trace, 'w')}
    torch.save(attack, path, _use_new_zipfile_serialization=False)


def as_a_bare_pickle(path, trace):
    path.write_bytes(pickle.dumps({'w': Call(os.system, f'touch {trace}')}, 4))


def in_a_storage(path, trace):
    # torch's own function for storages, which unpickles what it is given.
    buffer = io.BytesIO()
    torch.save(Call(os.mkdir, trace), buffer)
    attack = Call(torch.storage._load_from_bytes, buffer.getvalue())
    torch.save({'state_dict': {'conv.weight': attack}}, path)


def in_a_log(path, trace):
    # By names that mmengine's own checkpoints use: getattr, and an object array.
    nested = np.array([Call(os.mkdir, trace)], dtype=object)
    attack = Call(getattr, HistoryBuffer.mean, '__globals__')
    torch.save({'state_dict': {}, 'message_hub': {'a': nested, 'b': attack}}, path)


PICKLES = [
    in_the_weights,
    besides_the_weights,
    in_the_old_format,
    as_a_bare_pickle,
    in_a_storage,
    in_a_log,
]


@pytest.fixture(params=PICKLES, ids=lambda make: make.__name__)
def attack(request, tmp_path):
    """The file; nothing but it may be there in the end."""
    folder = tmp_path / 'attack'
    folder.mkdir()
    trace = folder / 'trace'
    path = folder / 'evil.pth'
    request.param(path, str(trace))
    yield path
    assert [p.name for p in folder.iterdir()] == ['evil.pth']


def test_the_attacks_work_on_a_loader_that_is_not_safe(tmp_path):
    for make in PICKLES[:5]:
        path, trace = tmp_path / f'{make.__name__}.pth', tmp_path / make.__name__
        make(path, str(trace))
        if make is as_a_bare_pickle:
            pickle.loads(path.read_bytes())
        else:
            torch.load(path, weights_only=False)
        assert trace.exists()


NAMED = {
    'in_the_weights': 'asks for posix.mkdir',
    'besides_the_weights': 'asks for builtins.eval',
    'in_the_old_format': f'asks for {open.__module__}.open',
    'as_a_bare_pickle': 'a bare pickle that asks for posix.system',
    'in_a_storage': 'asks for torch.storage._load_from_bytes',
    'in_a_log': "numpy dtype 'O8'",
}


@pytest.mark.parametrize('make', PICKLES, ids=lambda make: make.__name__)
def test_what_a_file_asked_for_is_named(tmp_path, make):
    path = tmp_path / 'evil.pth'
    make(path, str(tmp_path / 'trace'))
    with pytest.raises(CheckpointError, match=NAMED[make.__name__]):
        read_checkpoint(path)
    assert not (tmp_path / 'trace').exists()


def check_message(message, path):
    assert str(path) in message
    assert 'is refused: ' in message
    assert 'weights_only' not in message and 'Traceback' not in message
    assert '\n' not in message.strip()


@pytest.mark.parametrize('target', ['plugin.ConvNeXt', 'mmdet.SwinTransformer'])
def test_init_cfg(attack, build, target):
    with pytest.raises(CheckpointError) as caught:
        build(target, attack)
    check_message(str(caught.value), attack)


class OneImage(Dataset):
    metainfo = {}

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return {'inputs': torch.ones(1)}


class Model(BaseModel):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 1)

    def forward(self, inputs, mode='tensor'):
        return {'loss': self.linear(torch.stack(list(inputs))).mean()}


@pytest.mark.parametrize('resume', [False, True], ids=['load_from', 'resume'])
def test_runner(attack, tmp_path, resume):
    work_dir = tmp_path / 'run'
    runner = Runner(
        model=Model(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=1, dataset=OneImage(), sampler=dict(type='DefaultSampler')
        ),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        load_from=str(attack),
        resume=resume,
        default_scope='mmengine',
        experiment_name=str(work_dir),
        log_level='ERROR',
    )
    with pytest.raises(CheckpointError) as caught:
        runner.train()
    check_message(str(caught.value), attack)
    assert list(work_dir.rglob('*.pth')) == []


@pytest.mark.parametrize('command', ['keys', 'convert', 'align'])
def test_command(attack, tmp_path, command):
    config = tmp_path / 'config.py'
    config.write_text("model = dict(backbone=dict(type='plugin.ConvNeXt'))")
    args = {
        'keys': [attack],
        'convert': [attack, tmp_path / 'out.pth', '--to', 'plugin.ConvNeXt'],
        'align': [config, '--reference', 'timm:resnet18', '--checkpoint', attack],
    }[command]
    result = CliRunner().invoke(main, [command, *map(str, args)])
    assert result.exit_code == 1
    assert result.stdout == ''
    check_message(result.stderr, attack)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['attack', 'config.py']


@pytest.mark.parametrize('entry', ['init_cfg', 'load_from'])
def test_check(attack, tmp_path, repo_root, entry):
    base = repo_root / 'configs/det/retinanet_timm-resnet10t_fpn_1xb8-14e_shapes.py'
    init_cfg = dict(type='Pretrained', checkpoint=str(attack))
    text = {
        'init_cfg': f'model = dict(backbone=dict(init_cfg={init_cfg}))',
        'load_from': f'load_from = {str(attack)!r}',
    }[entry]
    config = tmp_path / 'config.py'
    config.write_text(f'_base_ = {str(base)!r}\n{text}\n')
    result = CliRunner().invoke(main, ['check', str(config), '--json'])
    assert result.exit_code == 1
    ((problem,),) = (document['problems'] for document in json.loads(result.stdout))
    key = {
        'init_cfg': 'model.backbone.init_cfg.checkpoint',
        'load_from': 'load_from',
    }[entry]
    assert (problem['kind'], problem['key']) == ('pretrained', key)
    check_message(problem['found'], attack)
    assert problem['fix'] == f'{key.removesuffix(".checkpoint")}=None'
    assert sorted(p.name for p in tmp_path.iterdir()) == ['attack', 'config.py']


@pytest.mark.slow
def test_mim_train_resume(shapes, tmp_path, run_mim, repo_root):
    folder = tmp_path / 'attack'
    folder.mkdir()
    evil, trace = folder / 'evil.pth', folder / 'trace'
    in_the_weights(evil, str(trace))
    base = repo_root / 'configs/det/retinanet_timm-resnet10t_fpn_1xb8-14e_shapes.py'
    config = tmp_path / 'config.py'
    config.write_text(
        f'_base_ = {str(base)!r}\n'
        + ''.join(
            f'{split}_dataloader = dict(dataset=dict(data_root={str(shapes) + "/"!r}), '
            'num_workers=0, persistent_workers=False)\n'
            for split in ('train', 'val', 'test')
        )
        + ''.join(
            f'{split}_evaluator = dict(ann_file='
            f'{str(shapes / "annotations/instances_val.json")!r})\n'
            for split in ('val', 'test')
        )
    )
    work_dir = tmp_path / 'run'
    result = run_mim(
        *('train', 'mmdet', config, '--work-dir', work_dir, '--resume', evil),
        check=False,
    )
    assert result.returncode != 0
    assert f'CheckpointError: {evil} is refused: it asks for posix.mkdir' in (
        result.stdout
    )
    assert [p.name for p in folder.iterdir()] == ['evil.pth']
    assert list(work_dir.rglob('*.pth')) == []


def test_by_url(attack, server):
    server.files['evil.pth'] = attack.read_bytes()
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(server.url('evil.pth'))
    check_message(str(caught.value), server.url('evil.pth'))
