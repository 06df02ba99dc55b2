"""SyncBatchNorm of mmcv.ops, with one and with two processes."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from mmcv.ops import SyncBatchNorm
from torch import Tensor, nn

CHANNELS = 3


@pytest.fixture
def alone() -> Iterator[None]:
    """A process group of one: SyncBatchNorm asks for its size."""
    dist.init_process_group('gloo', store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def layers(**options: object) -> tuple[SyncBatchNorm, nn.BatchNorm2d]:
    """mmcv's and torch's with the same parameters."""
    ours, theirs = SyncBatchNorm(CHANNELS, **options), nn.BatchNorm2d(CHANNELS)
    theirs.load_state_dict(ours.state_dict())
    for parameter, like in zip(ours.parameters(), theirs.parameters(), strict=True):
        like.data = parameter.data = torch.randn(CHANNELS)
    return ours, theirs


def results(layer: nn.Module, x: Tensor, grad: Tensor) -> list[Tensor]:
    """Output, gradients of the input and the parameters, running statistics."""
    x = x.clone().requires_grad_()
    output = layer(x)
    output.backward(grad)
    by_parameters = [parameter.grad for parameter in layer.parameters()]
    return [output, x.grad, *by_parameters, layer.running_mean, layer.running_var]


@pytest.mark.parametrize('shape', [(4, CHANNELS, 5, 6), (2, CHANNELS, 1, 1)], ids=str)
def test_alone_it_is_batch_norm(alone, shape):
    x, grad = torch.randn(shape) * 3 + 1, torch.randn(shape)
    ours, theirs = (results(layer, x, grad) for layer in layers())
    torch.testing.assert_close(ours, theirs)


def test_half_precision_is_normalized_in_float32(alone):
    x, grad = (
        torch.randn(4, CHANNELS, 5, 6).half(),
        torch.randn(4, CHANNELS, 5, 6).half(),
    )
    layer, theirs = layers()
    ours = results(layer, x, grad)
    exact = results(theirs, x.float(), grad.float())
    assert ours[0].dtype == ours[1].dtype == torch.half
    torch.testing.assert_close(ours[:2], [tensor.half() for tensor in exact[:2]])
    torch.testing.assert_close(ours[2:], exact[2:], atol=1e-4, rtol=1e-4)


def test_an_empty_batch_leaves_the_statistics(alone):
    layer, _ = layers(stats_mode='N')
    empty = torch.zeros(0, CHANNELS, 5, 6)
    output, *_, mean, var = results(layer, empty, empty)
    assert output.shape == empty.shape
    assert mean.tolist() == [0] * CHANNELS and var.tolist() == [1] * CHANNELS


def one_of_two(rank: str, folder: str) -> None:
    """Normalize this process's half of the batch and write what came out."""
    rank, folder = int(rank), Path(folder)
    rendezvous = f'file://{folder}/rendezvous'
    dist.init_process_group('gloo', rendezvous, rank=rank, world_size=2)
    given = torch.load(folder / 'given.pth', weights_only=True)
    layer = SyncBatchNorm(CHANNELS)
    layer.load_state_dict(given['state'])
    own = slice(2 * rank, 2 * rank + 2)
    torch.save(
        results(layer, given['x'][own], given['grad'][own]), folder / f'{rank}.pth'
    )
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_processes_normalize_as_one_with_the_whole_batch(tmp_path, warm_python):
    theirs = nn.BatchNorm2d(CHANNELS)
    nn.init.normal_(theirs.weight)
    x, grad = torch.randn(4, CHANNELS, 5, 6) * 3 + 1, torch.randn(4, CHANNELS, 5, 6)
    given = dict(state=theirs.state_dict(), x=x, grad=grad)
    torch.save(given, tmp_path / 'given.pth')
    code = 'import sys, test_sync_bn; test_sync_bn.one_of_two(*sys.argv[1:])'
    both = [
        subprocess.Popen(
            [warm_python, '-W', 'ignore', '-c', code, str(rank), tmp_path],
            env={**os.environ, 'PYTHONPATH': str(Path(__file__).parent)},
        )
        for rank in (0, 1)
    ]
    assert [process.wait(timeout=300) for process in both] == [0, 0]
    halves = [
        torch.load(tmp_path / f'{rank}.pth', weights_only=True) for rank in (0, 1)
    ]
    output, by_x, by_weight, by_bias, *running = results(theirs, x, grad)
    torch.testing.assert_close(torch.cat([half[0] for half in halves]), output)
    torch.testing.assert_close(torch.cat([half[1] for half in halves]), by_x)
    # The parameters' gradients are means over the processes, as DDP makes them.
    for half in halves:
        torch.testing.assert_close(half[2:], [by_weight / 2, by_bias / 2, *running])
