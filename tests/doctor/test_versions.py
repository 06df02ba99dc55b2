import pytest

from plugin.doctor.versions import in_words, is_within, sort_key

ASCENDING = [
    '1.9',
    '2.0.0.dev20250101',
    '2.0.0a1',
    '2.0.0b2',
    '2.0.0rc1',
    '2.0.0rc4',
    '2.0.0rc10',
    '2.0.0',
    '2.0.0.post1',
    '2.0.1',
    '2.10',
]


def test_versions_ascend_as_numbers_with_what_precedes_a_release_before_it():
    assert sorted(reversed(ASCENDING), key=sort_key) == ASCENDING


def test_zeros_at_the_end_and_a_local_part_do_not_count():
    assert sort_key('2.0') == sort_key('2.0.0') == sort_key('v2.0.0+cu124')


@pytest.mark.parametrize(
    ('version', 'within'),
    [('2.0', True), ('2.0.9', True), ('2.1', False), ('2.0rc1', False), ('x', False)],
)
def test_a_range_holds_its_lowest_and_not_its_end(version, within):
    assert is_within(version, '2.0.0', '2.1') is within


def test_a_range_in_words():
    assert in_words('2.0', '2.1') == '>=2.0,<2.1'
    assert (in_words('2.0', None), in_words(None, None)) == ('>=2.0', '')
