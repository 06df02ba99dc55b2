"""The anatomy of a timm model is found once a process, and belongs to who asked."""

import pytest

from plugin.timm_models import anatomy
from plugin.timm_models.anatomy import dissect


@pytest.fixture
def looks(monkeypatch):
    """The arguments of each look at a model, from nothing known on."""
    found = []
    look = anatomy._from_a_forward

    def counted(*args):
        found.append(args)
        return look(*args)

    monkeypatch.setattr(anatomy, '_KNOWN', {})
    monkeypatch.setattr(anatomy, '_from_a_forward', counted)
    return found


def test_the_same_model_is_looked_at_once(looks):
    first = dissect('resnet10t', dict(in_chans=3), (1, 2))
    again = dissect('resnet10t', dict(in_chans=3), (1, 2))
    assert len(looks) == 1
    assert first == again
    again.stage_of.clear()
    again.kwargs.clear()
    assert dissect('resnet10t', dict(in_chans=3), (1, 2)) == first


@pytest.mark.parametrize(
    'other',
    [
        ('resnet10t.c3_in1k', dict(in_chans=3), (1, 2)),
        ('resnet10t', dict(in_chans=4), (1, 2)),
        ('resnet10t', dict(in_chans=3), (1, 3)),
        ('resnet10t', dict(in_chans=3, avg_down=False), (1, 2)),
    ],
)
def test_other_arguments_are_another_look(looks, other):
    dissect('resnet10t', dict(in_chans=3), (1, 2))
    dissect(*other)
    assert len(looks) == 2


def test_1_is_not_true(looks):
    dissect('resnet10t', dict(in_chans=3, avg_down=1), (1,))
    dissect('resnet10t', dict(in_chans=3, avg_down=True), (1,))
    assert len(looks) == 2


def test_what_has_no_hash_is_looked_at_every_time(looks):
    args = 'resnet10t', dict(in_chans=3, pretrained_cfg_overlay=dict(mean={0.5})), (1,)
    assert dissect(*args) == dissect(*args)
    assert len(looks) == 2


def test_a_mistake_is_told_every_time(looks):
    for _ in range(2):
        with pytest.raises(ValueError, match='out_indices'):
            dissect('resnet10t', dict(in_chans=3), (9,))
