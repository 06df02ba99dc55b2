"""``mim train``, ``--resume`` and ``mim test`` on checkpoints, as a user types them."""

import shlex

import pytest
import torch
from crafted import makes_folder, save

from plugin.weights.files.sources import read_checkpoint

pytestmark = pytest.mark.slow


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


def test_mim_trains_resumes_tests_and_refuses(tmp_path, tiny_config, run_mim):
    work_dir = tmp_path / 'run'
    train = ('train', 'mmdet', tiny_config, '--work-dir', work_dir)
    run_mim(*train)
    more = run_mim(*train, '--resume', '--cfg-options', 'train_cfg.max_epochs=2')
    assert 'resumed epoch: 1, iter: 2' in more.stdout
    assert 'left out' not in more.stdout

    last = read_checkpoint(work_dir / 'epoch_2.pth')
    assert (last['meta']['epoch'], last['meta']['iter']) == (2, 4)
    assert len(last['message_hub']['log_scalars']['train/loss'].data[0]) == 4

    test = ('test', 'mmdet', tiny_config, '--work-dir', work_dir, '--checkpoint')
    tested = run_mim(*test, work_dir / 'epoch_2.pth')
    assert 'Epoch(test) [1/1]' in tested.stdout

    folder = tmp_path / 'attack'
    folder.mkdir()
    evil = save(folder / 'evil.pth', meta=makes_folder(folder / 'trace'))
    for command in ((*test, evil), (*train, '--resume', evil)):
        refused = run_mim(*command, check=False)
        assert refused.returncode != 0
        line = f'CheckpointError: {evil} is refused: it asks for posix.mkdir.'
        assert line in refused.stdout
        assert 'weights_only' not in refused.stdout
    assert [p.name for p in folder.iterdir()] == ['evil.pth']


def test_what_is_said_of_weights_alone_works_as_it_is_typed(
    tmp_path, tiny_config, run_mim
):
    train = ('train', 'mmdet', tiny_config, '--work-dir', tmp_path / 'run')
    run_mim(*train)
    state = read_checkpoint(tmp_path / 'run/epoch_1.pth')['state_dict']
    weights = tmp_path / 'weights.pth'
    torch.save({'state_dict': state}, weights)
    refused = run_mim(*train, '--resume', weights, check=False)
    assert refused.returncode != 0
    (line,) = [
        text
        for text in refused.stdout.splitlines()
        if text.partition(': ')[0].endswith('CheckpointError')
    ]
    assert f"{weights} has weights and no training to resume: it lacks 'meta'" in line
    _, _, typed = line.partition(' and write ')
    again = run_mim(*train, *shlex.split(typed))
    assert f'Load checkpoint from {weights}' in again.stdout
