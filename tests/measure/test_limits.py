"""Bounds of memory and time: they hold, and are gone afterwards."""

import resource
import signal
import threading
import time

import pytest
import torch

from plugin.measure.limits import (
    GIB,
    TookTooLong,
    is_out_of_memory,
    memory_limit,
    time_limit,
)


def test_what_takes_longer_is_interrupted_even_if_it_swallows_exceptions():
    with pytest.raises(TookTooLong, match='more than 0.05 s'):
        with time_limit(0.05):
            end = time.monotonic() + 5
            while time.monotonic() < end:
                try:
                    sum(range(1000))
                except Exception:
                    continue


def test_afterwards_there_is_no_timer():
    before = signal.getsignal(signal.SIGALRM)
    with time_limit(60):
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_limit_inside_another_one_does_not_end_it():
    with pytest.raises(TookTooLong):
        with time_limit(0.2):
            with time_limit(60):
                time.sleep(0.01)
            time.sleep(5)


def test_in_another_thread_there_is_no_limit():
    ran = []

    def work():
        with time_limit(0.01):
            time.sleep(0.05)
            ran.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ran == [True]


def test_an_allocation_beyond_the_limit_fails_and_the_next_one_does_not():
    # A limit leaves 2 GiB of address space for shared libraries at least.
    with memory_limit(GIB // 2):
        with pytest.raises(RuntimeError) as raised:
            torch.empty(3 * GIB, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)
    assert torch.empty(3 * GIB, dtype=torch.uint8).numel() == 3 * GIB


def test_the_limit_of_the_process_is_put_back():
    before = resource.getrlimit(resource.RLIMIT_AS)
    with memory_limit(GIB):
        assert resource.getrlimit(resource.RLIMIT_AS)[0] != before[0]
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_other_errors_are_not_taken_for_it():
    assert not is_out_of_memory(RuntimeError('mat1 and mat2 shapes'))
    assert is_out_of_memory(MemoryError())
