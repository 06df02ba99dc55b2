"""The paper estimate of training on many GPUs follows its formula."""

import pytest
from scripts import load_script


@pytest.fixture
def scale(repo_root, monkeypatch):
    monkeypatch.syspath_prepend(repo_root / 'benchmarks')
    return load_script(repo_root / 'benchmarks/scale.py')


@pytest.fixture
def load(scale):
    """Of one image 15.6e9 multiply-adds: 2 take 1 ms at 40 % of 156e12 operations."""
    return scale.Load(macs=15_600_000_000, trained=25_000_000, batch=2, amp=False)


def test_the_backward_takes_twice_the_forward(load):
    assert load.compute(share=0.4) == pytest.approx((1e-3, 2e-3))


def test_mixed_precision_takes_half(scale, load):
    load = scale.Load(macs=load.macs, trained=1, batch=2, amp=True)
    assert load.compute(share=0.4) == pytest.approx((0.5e-3, 1e-3))


def test_a_ring_sends_the_gradients_twice_less_one_share(load):
    assert load.traffic(1) == 0
    assert load.traffic(2) == 100e6
    assert load.traffic(8) == 175e6


def test_only_what_the_backward_does_not_hide_takes_time(load):
    assert load.step(8, bandwidth=300e9, share=0.4) == pytest.approx(3e-3)
    # 175 MB at 25 GB/s take 7 ms, beside a backward of 2.
    assert load.step(8, bandwidth=25e9, share=0.4) == pytest.approx(8e-3)
