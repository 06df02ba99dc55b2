"""The comparison of the benchmarks: turns, ratios, and bytes. No time is asserted."""

import pytest
import timm
import torch
from scripts import load_script


@pytest.fixture
def timing(repo_root):
    """The module that the benchmarks import from their own folder."""
    return load_script(repo_root / 'benchmarks/timing.py')


def test_functions_take_turns_and_the_first_turn_does_not_count(timing, monkeypatch):
    calls = []
    ticks = iter(range(100))
    monkeypatch.setitem(timing.CLOCKS, 'ticks', lambda: next(ticks) ** 2)
    times = timing.alternate(
        {name: lambda name=name: calls.append(name) for name in 'abc'},
        runs=3,
        clock='ticks',
    )
    assert ''.join(calls) == 'abcbcacababc'
    # A call from tick t to t + 1 takes 2 t + 1.
    assert times == {'a': [21, 29, 37], 'b': [13, 33, 41], 'c': [17, 25, 45]}


def test_a_ratio_is_the_median_of_the_ratios_of_each_turn(timing):
    times = {'ours': [0.002, 0.6, 0.0015], 'theirs': [0.001, 0.4, 0.001]}
    rows = timing.table(times, 'theirs', dict(ours=3 * 2**20, theirs=2**20))
    assert rows.splitlines() == [
        '|        | median | ratio | from |   to | peak memory |',
        '| ---    |   ---: |  ---: | ---: | ---: |        ---: |',
        '| ours   | 2.0 ms |  1.50 | 1.50 | 2.00 |       3 MiB |',
        '| theirs | 1.0 ms |  1.00 | 1.00 | 1.00 |       1 MiB |',
    ]


def test_the_fastest_has_the_smallest_median_among_those_given(timing):
    times = {'ours': [1.0, 1.0], 'one': [2.0, 9.0], 'two': [3.0, 3.0]}
    assert timing.fastest(times, ['one', 'two']) == 'two'


def test_peak_memory_counts_what_is_held_at_one_time(timing):
    def work():
        a = torch.ones(2**20)
        b = a.neg()
        del a
        return b.neg()

    assert timing.peak_memory(work) == 2 * 4 * 2**20


def test_the_machine_is_named_with_the_versions(timing):
    hardware, versions = timing.machine(['timm']).splitlines()
    assert hardware.startswith('Machine: ') and ' threads used; ' in hardware
    assert f'torch {torch.__version__.partition("+")[0]}' in versions
    assert f'timm {timm.__version__}' in versions
