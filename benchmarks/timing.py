"""Timing pieces of work against each other, for the other files of this folder.

No time of one machine says anything about another, and on a busy one not even the
second run agrees with the first. So what is compared takes turns in one process, each
turn gives one ratio to the reference, and the result is the median ratio, with the
smallest and the largest beside it. CPU time counts what the process used, on all its
threads, whoever else uses the machine. On a GPU it is wall time, until all is done.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile


def after_the_gpu() -> float:
    """Return the seconds of a wall clock once all that a GPU was given is done."""
    torch.cuda.synchronize()
    return time.perf_counter()


CLOCKS = {
    'cpu': time.process_time,
    'cuda': after_the_gpu,
    # For what does not run in this process.
    'wall': time.perf_counter,
}
# What `machine` names of /proc/cpuinfo: they decide how fast bfloat16 is.
CPU_FLAGS = ('avx2', 'avx512f', 'avx512_bf16', 'amx_bf16')


def add_device(parser: argparse.ArgumentParser) -> None:
    """Let a benchmark run on a GPU."""
    parser.add_argument('--device', default='cpu', choices=['cpu', 'cuda'])


def alternate(
    functions: Mapping[str, Callable[[], object]],
    runs: int,
    clock: str = 'cpu',
    warmup: int | None = None,
) -> dict[str, list[float]]:
    """Call the functions in turn, and return the seconds of each call.

    Each turn calls every function once, and the next turn starts one function later,
    so that none always runs in the wake of the same one.

    Args:
        functions: What to call, by name. It may return anything, which is dropped.
        runs: Turns that count.
        clock: One of ``CLOCKS``: the device that the functions work on, or ``wall``.
        warmup: Turns before them that do not count. None is one, or five on a GPU,
            which first searches for the fastest convolutions.
    """
    now = CLOCKS[clock]
    if warmup is None:
        warmup = 5 if clock == 'cuda' else 1
    names = list(functions)
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(warmup + runs):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            # What the last function left behind is not for this one to collect.
            gc.collect()
            start = now()
            functions[name]()
            seconds = now() - start
            if turn >= warmup:
                times[name].append(seconds)
    return times


def fastest(times: Mapping[str, Sequence[float]], among: Iterable[str]) -> str:
    """Return the name with the smallest median among those given."""
    return min(among, key=lambda name: statistics.median(times[name]))


def peak_memory(function: Callable[[], object], device: str = 'cpu') -> int:
    """Return the bytes that ``function`` held at most, beyond what was there before.

    On the CPU these are the tensors of PyTorch's allocator, counted one by one, so the
    number is the same in every run; a resident size depends on what malloc keeps.
    """
    if device.startswith('cuda'):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        function()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as prof:
        function()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'trace.json')
        prof.export_chrome_trace(str(path))
        events = json.loads(path.read_text())['traceEvents']
    return max(
        (e['args']['Total Allocated'] for e in events if e['name'] == '[memory]'),
        default=0,
    )


def table(
    times: Mapping[str, Sequence[float]],
    reference: str,
    memory: Mapping[str, int] | None = None,
) -> str:
    """Return a Markdown table of medians, and of ratios to ``reference``.

    Args:
        times: As :func:`alternate` returns it: one turn is one place in each list.
        reference: The name whose time is 1.
        memory: Bytes by name, for one more column.
    """
    head = ['', 'median', 'ratio', 'from', 'to', *(['peak memory'] if memory else [])]
    rows = [head, ['---', *(['---:'] * (len(head) - 1))]]
    for name, seconds in times.items():
        ratios = [a / b for a, b in zip(seconds, times[reference], strict=True)]
        rows.append(
            [
                name,
                f'{1e3 * statistics.median(seconds):,.1f} ms',
                f'{statistics.median(ratios):.2f}',
                f'{min(ratios):.2f}',
                f'{max(ratios):.2f}',
                *([f'{memory[name] / 2**20:,.0f} MiB'] if memory else []),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return '\n'.join(
        '| '
        + ' | '.join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        + ' |'
        for row in rows
    )


def machine(packages: Iterable[str] = ()) -> str:
    """Return a line for the processor and one for the versions.

    Args:
        packages: Distributions to name beside Python and torch.
    """
    cpu = Path('/proc/cpuinfo')
    info = cpu.read_text() if cpu.exists() else ''
    fields = dict(
        map(str.strip, line.split(':', 1)) for line in info.splitlines() if ':' in line
    )
    has = [f for f in CPU_FLAGS if f in fields.get('flags', '').split()]
    processor = fields.get('model name') or platform.processor() or platform.machine()
    hardware = [
        f'{processor}, {os.cpu_count()} cores, {torch.get_num_threads()} threads used',
        ' '.join(has) or 'flags unknown',
    ]
    if torch.cuda.is_available():
        hardware.append(torch.cuda.get_device_name())
    versions = [f'{name} {version(name)}' for name in ('torch', *packages)]
    return (
        f'Machine: {"; ".join(hardware)}\n'
        f'Versions: Python {platform.python_version()}, {", ".join(versions)}'
    )
