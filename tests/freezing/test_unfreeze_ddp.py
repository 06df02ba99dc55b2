"""Two gloo processes on the CPU, through the real Runner; see ``ddp_job.py``."""

import os
import socket
import subprocess
from pathlib import Path

import pytest
import torch
from ddp_job import OTHERS, SCENARIOS

HERE = Path(__file__).parent


@pytest.fixture(scope='module')
def results(tmp_path_factory, warm_python):
    """``results[scenario]`` is what rank 0 and rank 1 wrote."""
    out = tmp_path_factory.mktemp('ddp')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    processes = []
    for rank in '01':
        log = (out / f'{rank}.log').open('w')
        environment = {
            **os.environ,
            'RANK': rank,
            'LOCAL_RANK': rank,
            'WORLD_SIZE': '2',
            'MASTER_ADDR': '127.0.0.1',
            'MASTER_PORT': str(port),
            'CUDA_VISIBLE_DEVICES': '-1',
            'PYTHONPATH': os.pathsep.join(
                map(str, [HERE.parents[1], HERE.parent, HERE])
            ),
        }
        command = [warm_python, '-W', 'ignore', str(HERE / 'ddp_job.py'), str(out)]
        processes.append(
            subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, text=True
            )
        )
    for process in processes:
        process.wait(timeout=600)
    logs = '\n'.join((out / f'{rank}.log').read_text()[-3000:] for rank in '01')
    assert [process.returncode for process in processes] == [0, 0], logs
    return {
        name: [
            torch.load(out / f'{name}_{rank}.pth', weights_only=True) for rank in '01'
        ]
        for name in [*SCENARIOS, *OTHERS]
    }


@pytest.mark.slow
@pytest.mark.parametrize('name', SCENARIOS)
def test_the_processes_agree_bit_for_bit_after_20_steps(results, name):
    one, two = results[name]
    assert 'error' not in one, one['error']
    assert 'error' not in two, two['error']
    assert one['steps'] == 20
    assert one['params'].keys() == two['params'].keys()
    for parameter, value in one['params'].items():
        assert torch.equal(value, two['params'][parameter]), parameter
    assert one['optimizer'].keys() == two['optimizer'].keys()
    for parameter, state in one['optimizer'].items():
        for key, value in state.items():
            assert torch.equal(value, two['optimizer'][parameter][key]), parameter


def moved(result: dict, before: int, after: int) -> set[str]:
    """Modules of the backbone in which something changed in these intervals."""
    entries = set().union(*result['moved'][before:after])
    return {entry.split('.')[1] for entry in entries}


RESNET = {'conv1', 'bn1', 'layer1', 'layer2', 'layer3', 'layer4'}


@pytest.mark.slow
@pytest.mark.parametrize(
    'name', ['unfrozen', 'averaged', 'mixed precision', 'checkpointed']
)
def test_frozen_stages_stand_still_and_then_train(results, name):
    for result in results[name]:
        assert moved(result, 0, 2) == {'layer2', 'layer3', 'layer4'}
        for epoch in (2, 3, 4):
            assert moved(result, epoch, epoch + 1) == RESNET


@pytest.mark.slow
def test_stages_are_unfrozen_in_steps(results):
    for result in results['in steps with a ramp']:
        assert moved(result, 0, 1) == {'layer3', 'layer4'}
        assert moved(result, 1, 2) == {'layer2', 'layer3', 'layer4'}
        assert moved(result, 2, 3) == RESNET - {'conv1', 'bn1'}
        assert moved(result, 4, 5) == RESNET


@pytest.mark.slow
@pytest.mark.parametrize(
    ('name', 'training'),
    [
        ('Swin frozen', {'stages', 'norm1', 'norm2', 'norm3'}),
        ('CSPDarknet frozen', {'stage2', 'stage3', 'stage4'}),
    ],
)
def test_backbones_that_freeze_late_train_with_the_freeze_hook(results, name, training):
    for result in results[name]:
        assert moved(result, 0, 5) == training


@pytest.mark.slow
def test_the_average_follows_what_was_unfrozen(results):
    for result in results['averaged']:
        assert not [name for name in result['ema'] if 'backbone.' in name]


@pytest.mark.slow
def test_the_new_wrapper_has_the_settings_of_the_old_one(results):
    for result in results['wrapped with settings']:
        assert result['settings'] == dict(
            type='MMDistributedDataParallel',
            broadcast_buffers=True,
            find_unused_parameters=False,
            gradient_as_bucket_view=True,
            bucket_bytes_cap=1024 * 1024,
            detect_anomalous_params=True,
            comm_hooks=1,
        )


@pytest.mark.slow
def test_a_wrapper_that_can_not_follow_is_refused(results):
    for result in results['wrapped in parts']:
        assert 'wrapped in MMSeparateDistributedDataParallel, which' in result['error']


@pytest.mark.slow
def test_wrapping_again_does_not_convert_norms_again(results):
    for result in results['synchronized norms']:
        assert result == dict(norms=21, new_wrapper=True, same=True, sync_bn='torch')


@pytest.mark.slow
def test_a_compiled_step_sees_unfreezing(results):
    for result in results['compiled']:
        assert {'downsample_layers', 'stages', 'norm0'} <= moved(result, 2, 3)
        entries = set(result['moved'][1])
        assert not {name for name in entries if 'stages.0.' in name}
        assert {name for name in result['moved'][2] if 'stages.0.' in name}


@pytest.mark.slow
@pytest.mark.skipif('adapters, then all' not in SCENARIOS, reason='peft is missing')
def test_adapters_train_alone_until_the_backbone_is_unfrozen(results):
    for result in results['adapters, then all']:
        first, later = (set().union(*result['moved'][i : i + 2]) for i in (0, 2))
        assert first and all('.lora_' in name for name in first)
        assert any('.base_layer.' in name for name in later) and first < later
