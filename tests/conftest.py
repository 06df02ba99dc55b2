"""Fixtures that every test may use.

``repo_root``: path of the clone, for ``PYTHONPATH`` and for reading configs.
``shapes``: path of a small generated data set, made once a session: 16 training and 8
validation images of 64x80 pixels. It is shared, so a test must not write into it.
``lighter``: a folder for ``PYTHONPATH``, as without the extra ``peft``.
``run_mim``: runs the real ``mim`` in a subprocess, as a user would; see
:func:`run_mim` for what it takes and gives back.
``hub``: files in the cache of the Hugging Face hub, without the network.
``device``: ``cpu``, and ``cuda`` under the mark ``gpu``. All other tests are made for a
CPU and hide the GPUs; ``make test-gpu`` shows one to those with the mark.

Where mmyolo is not installed, as beside onedl's packages, the tests that use it are
skipped: those whose path, name, parameters or code names it. So are those of configs
with adapters without peft, and those of models that an older timm has not.

One thread a process: the inputs here are too small to gain from more, results don't
depend on the number of cores, and test processes side by side don't get in each
other's way. Child processes inherit it.

What is the same for all tests is computed once: the garbage collector leaves alone what
was imported, a million objects, and see :func:`libraries_compute_once` and
:func:`few_draws`.
"""

import functools
import gc
import inspect
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from packaging.version import Version

os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ['CUDA_VISIBLE_DEVICES'] = os.environ.get('TEST_GPU', '-1')
os.environ.setdefault('MPLBACKEND', 'Agg')
# albumentations asks the network for its newest version whenever it is imported.
os.environ.setdefault('NO_ALBUMENTATIONS_UPDATE', '1')

REPO_ROOT = Path(__file__).resolve().parents[1]


# mmdet has YOLOX too, and YOLOv3.
_USES_MMYOLO = re.compile(r'yolo(?!x|v3)', re.IGNORECASE)
# Models that the lowest timm of ours has not, or that refuse nothing there.
_USES_NEW_TIMM = re.compile(
    r'test_maxvit|vit_tiny_patch16_dinov3_qkvb|ese_vovnet19b_slim-strict'
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker('gpu'):
                item.add_marker(pytest.mark.skip(reason='needs make test-gpu'))
    lacking = []
    if not find_spec('mmyolo'):
        lacking.append((_USES_MMYOLO, 'mmyolo is not installed'))
    if Version(version('timm')) < Version('1.0.31'):
        lacking.append((_USES_NEW_TIMM, 'needs timm 1.0.31'))
    if not find_spec('peft'):
        lacking.append((re.compile('-lora[-_]'), 'peft is not installed'))
    for item in items if lacking else ():
        named = item.nodeid + inspect.getsource(item.function)
        for pattern, reason in lacking:
            if pattern.search(named):
                item.add_marker(pytest.mark.skip(reason=reason))


_modules_frozen = 0


def _freeze_modules() -> None:
    """Keep the garbage collector from the modules, if there are many new ones."""
    global _modules_frozen
    if len(sys.modules) > _modules_frozen + 100:
        gc.collect()
        gc.freeze()
        _modules_frozen = len(sys.modules)


def pytest_collection_finish() -> None:
    _freeze_modules()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    # A library is imported by the first test that needs it.
    _freeze_modules()


@pytest.fixture(scope='session', autouse=True)
def libraries_compute_once() -> Iterator[None]:
    """Let mmengine search for packages once, and format a config's text once.

    A training writes the same text five times, and yapf takes as long for it as the
    model for an iteration.
    """
    from mmengine.config import config

    from plugin.config.packages import searched_once

    @functools.lru_cache(maxsize=8)
    def formatted(text: str, style: tuple, **kwargs: bool) -> tuple[str, bool]:
        return format_code(text, style_config=dict(style), **kwargs)

    def once(text: str, style_config: dict, **kwargs: bool) -> tuple[str, bool]:
        return formatted(text, tuple(style_config.items()), **kwargs)

    # onedl's mmengine formats in another way.
    format_code = getattr(config, 'FormatCode', None)
    with searched_once(), pytest.MonkeyPatch.context() as patch:
        if format_code is not None:
            patch.setattr(config, 'FormatCode', once)
        yield


@pytest.fixture(scope='session', autouse=True)
def few_draws() -> Iterator[None]:
    """Draw 2**16 initial numbers of a large weight, and repeat them, a little shifted.

    Drawing all of them, mostly to be written over, took a tenth of the tests' time.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in ('kaiming_uniform_', 'kaiming_normal_', '_no_grad_normal_'):
            draw = getattr(torch.nn.init, name)
            patch.setattr(torch.nn.init, name, _repeating(draw))
        yield


def _repeating(draw: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    @functools.wraps(draw)
    def repeating(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if tensor.numel() < 2**18 or not (tensor.is_cpu and tensor.is_contiguous()):
            return draw(tensor, *args, **kwargs)
        rows = 2**16 // tensor[0].numel() + 1
        drawn = draw(tensor.data[:rows], *args, **kwargs).view(-1)
        if 'fan_out' in (*args, *kwargs.values()):
            drawn *= (rows / len(tensor)) ** 0.5
        # One less, or whole rows would be equal.
        drawn = drawn[:-1]
        for part in tensor.data.view(-1)[len(drawn) :].split(len(drawn)):
            part.copy_(drawn[: len(part)])
        return tensor

    return repeating


@pytest.fixture(scope='session')
def repo_root() -> Path:
    return REPO_ROOT


@pytest.fixture(scope='session')
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generate a shapes data set in the layout of :mod:`plugin.demo.shapes`."""
    from plugin.demo.shapes import generate

    out_dir = tmp_path_factory.mktemp('shapes') / 'data'
    generate(out_dir, train=16, val=8, size=(64, 80), seed=0)
    return out_dir


@pytest.fixture(scope='session')
def lighter(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a folder for ``PYTHONPATH`` that hides transformers from an interpreter.

    mmengine imports it where it is, which takes as long as all else that it imports.
    """
    folder = tmp_path_factory.mktemp('lighter')
    hidden = "import sys\n\nsys.modules['transformers'] = None\n"
    (folder / 'sitecustomize.py').write_text(hidden)
    return str(folder)


@pytest.fixture(scope='session')
def warm_python() -> Iterator[str]:
    """Return a ``python`` that starts at once; see :mod:`warm_python`."""
    script = Path(__file__).with_name('warm_python.py')
    variables = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as door:
        python = Path(folder) / 'python'
        ask = [sys.executable, '-IS', script, Path(folder) / 'door', python]
        python.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, ask))} "$@"\n')
        python.chmod(0o755)
        door.bind(str(Path(folder) / 'door'))
        door.listen()
        with subprocess.Popen(
            [sys.executable, script, 'serve', str(door.fileno())],
            env=variables,
            stdin=subprocess.PIPE,
            pass_fds=[door.fileno()],
            start_new_session=True,
        ):
            yield str(python)


@pytest.fixture(params=['cpu', pytest.param('cuda', marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """Return the type of the device that a Runner trains on, and the test works on."""
    return request.param


@pytest.fixture
def run_mim(
    tmp_path: Path, warm_python: str
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``mim ARGS...`` in a subprocess on the CPU.

    ``run_mim('train', 'mmdet', config, '--work-dir', out)`` takes paths and strings.
    The clone is on ``PYTHONPATH`` and nothing else is, whatever the shell has there.
    Keyword arguments:

    - ``pythonpath``: more folders, put before the clone.
    - ``env``: environment variables to set or, with None as the value, to remove.
    - ``cwd``: default is the test's ``tmp_path``.
    - ``fresh``: True for the interpreter itself, not :func:`warm_python`.
    - ``check``: True fails the test when the exit status is not 0, with the command
      and the end of its output. False leaves the status to the caller.
    - ``timeout``: in seconds; the test fails when it is reached.

    The result's ``stdout`` holds standard output and standard error together, in the
    order in which they came.
    """

    def run(
        *args: str | Path,
        pythonpath: Sequence[str | Path] = (),
        env: Mapping[str, str | None] | None = None,
        cwd: Path = tmp_path,
        fresh: bool = False,
        check: bool = True,
        timeout: float = 600,
    ) -> subprocess.CompletedProcess[str]:
        # mim runs `python` by that name: the tests' own interpreter comes first.
        bin_dir = Path(sys.executable).parent
        variables = {
            **os.environ,
            'PATH': os.pathsep.join([str(bin_dir), os.environ.get('PATH', '')]),
            'PYTHONPATH': os.pathsep.join(map(str, [*pythonpath, REPO_ROOT])),
            'CUDA_VISIBLE_DEVICES': '-1',
            **(env or {}),
        }
        python = [] if fresh else [warm_python]
        command = [*python, str(bin_dir / 'mim'), *map(str, args)]
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={k: v for k, v in variables.items() if v is not None},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors='replace',
            start_new_session=True,
        )
        try:
            stdout, _ = process.communicate(timeout=timeout)
            status = f'exit status {process.returncode}'
        except subprocess.TimeoutExpired:
            # mim runs the training in a child, which a kill of mim alone would leave.
            os.killpg(process.pid, signal.SIGKILL)
            stdout, _ = process.communicate()
            status, check = f'stopped after {timeout:g} s', True
        if check and process.returncode:
            tail = '\n'.join(stdout.splitlines()[-60:])
            pytest.fail(
                f'{" ".join(command)}\n{status}; the end of its output:\n{tail}',
                pytrace=False,
            )
        return subprocess.CompletedProcess(command, process.returncode, stdout)

    return run


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Return ``hub(repo, files)``, which puts files into the hub's cache, offline."""
    constants = pytest.importorskip('huggingface_hub.constants')
    monkeypatch.setattr(constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path / 'hub'))

    def put(repo, files):
        folder = tmp_path / 'hub' / f'models--{repo.replace("/", "--")}'
        revision = 'a' * 40
        snapshot = folder / 'snapshots' / revision
        snapshot.mkdir(parents=True)
        (folder / 'refs').mkdir()
        (folder / 'refs/main').write_text(revision)
        for name, contents in files.items():
            (snapshot / name).write_bytes(contents)

    return put
