import pytest

from plugin.doctor.known import (
    KNOWN,
    SHARED,
    in_words,
    is_within,
    names_of,
    suits,
    transformers_below,
)
from plugin.libraries import ALL


@pytest.mark.parametrize(
    ('version', 'within'),
    [
        ('2.0', True),
        ('2.0.9+cu130', True),
        ('2.1', False),
        ('2.0rc1', False),
        # As the libraries compare, unlike pip.
        ('2.1rc1', True),
        ('of the day', False),
    ],
)
def test_a_range_holds_its_lowest_and_not_its_end(version, within):
    assert is_within(version, '2.0.0', '2.1') is within


def test_a_range_in_words():
    assert in_words('2.0', '2.1') == '>=2.0,<2.1'
    assert (in_words('2.0', None), in_words(None, None)) == ('>=2.0', '')


@pytest.mark.parametrize(
    ('version', 'fits'),
    [
        ('2.6.0+cu124', True),
        ('2.7.0.dev20250101', True),
        ('2.6.0rc1', False),
        ('x', False),
    ],
)
def test_pre_releases_of_what_is_asked_for_suit(version, fits):
    assert suits(version, '>=2.6') is fits


def test_the_distributions_are_those_of_the_libraries():
    for library in ALL:
        assert tuple(names_of(library.scope)) == library.distributions
    assert {library.scope for library in ALL} < set(SHARED)
    assert all(
        known.outside or known.module or name == 'setuptools'
        for name, known in KNOWN.items()
    )


@pytest.mark.parametrize(
    ('mmpretrain', 'below'), [('1.2.0', '4.52'), ('1.3.6', '5.0'), ('9', None)]
)
def test_the_transformers_that_suit_an_mmpretrain(mmpretrain, below):
    assert transformers_below(mmpretrain) == below
