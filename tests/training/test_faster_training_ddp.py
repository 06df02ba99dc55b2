"""FasterTrainingHook in two gloo processes; see ``faster_ddp_job.py``."""

import os
import socket
import subprocess
from pathlib import Path

import pytest
import torch
from faster_ddp_job import SCENARIOS

HERE = Path(__file__).parent


@pytest.fixture(scope='module')
def results(tmp_path_factory, warm_python):
    """``results[scenario]`` is what rank 0 and rank 1 wrote."""
    out = tmp_path_factory.mktemp('faster_ddp')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    environment = {
        **os.environ,
        'WORLD_SIZE': '2',
        'MASTER_ADDR': '127.0.0.1',
        'MASTER_PORT': str(port),
        'CUDA_VISIBLE_DEVICES': '-1',
        'PYTHONPATH': os.pathsep.join(map(str, [HERE.parents[1], HERE.parent, HERE])),
    }
    command = [warm_python, '-W', 'ignore', HERE / 'faster_ddp_job.py', out]
    processes = []
    for rank in '01':
        with (out / f'{rank}.log').open('w') as log:
            processes.append(
                subprocess.Popen(
                    [*map(str, command)],
                    env={**environment, 'RANK': rank, 'LOCAL_RANK': rank},
                    stdout=log,
                    stderr=log,
                )
            )
    for process in processes:
        process.wait(timeout=600)
    logs = '\n'.join((out / f'{rank}.log').read_text()[-3000:] for rank in '01')
    assert [process.returncode for process in processes] == [0, 0], logs
    # One of DDP's own warnings would say that a gradient does not fit its bucket.
    assert 'Grad strides do not match' not in logs
    return {
        name: [
            torch.load(out / f'{name}_{rank}.pth', weights_only=True) for rank in '01'
        ]
        for name in SCENARIOS
    }


@pytest.mark.slow
@pytest.mark.parametrize('name', SCENARIOS)
def test_the_processes_agree_bit_for_bit(results, name):
    one, two = results[name]
    assert one['steps'] == two['steps'] == 8
    for parameter, value in one['params'].items():
        assert torch.equal(value, two['params'][parameter]), parameter


@pytest.mark.slow
@pytest.mark.parametrize('name', ['faster', 'bucket views'])
def test_the_weights_are_those_of_a_plain_training(results, name):
    plain, faster = results['plain'][0], results[name][0]
    for parameter, value in faster['params'].items():
        torch.testing.assert_close(
            value,
            plain['params'][parameter],
            rtol=0,
            atol=1e-4,
            msg=lambda m, n=parameter: f'{n}: {m}',
        )


@pytest.mark.slow
def test_weights_and_gradients_are_channels_last(results):
    for name, ranks in results.items():
        assert ranks[0]['channels_last'] == (name != 'plain')
        assert ranks[0]['gradient_like_weight']
