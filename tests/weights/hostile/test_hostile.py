"""Hostile files by every way in: nothing runs, and one line says what is wrong."""

import os
import pickle
import re

import pytest
import torch
from entries import ENTRIES
from inputs import INPUTS, RUN_CODE
from mmengine.runner import CheckpointLoader

from plugin.weights.files.sources import read_checkpoint

pytestmark = pytest.mark.filterwarnings('ignore')

# One of each kind comes in by every way, all of them by one, and all by all in the
# wide run: from there on it is the same code.
EACH_KIND = [
    'code_in_the_weights',
    'code_in_the_old_format',
    'code_in_a_bare_pickle',
    'a_negative_offset',
    'gigabytes_in_compressed_entries',
    'zeros',
    'truncated',
    'a_tensor',
    'names_that_move_the_cursor',
]

# It shows in the contents of a tensor, which are not read for names and shapes.
IN_CONTENTS = {'one_bit_changed', 'sparse_indices_outside', 'sparse_rows_outside'}
NAMES_ALONE = {'keys', 'check_of_init_cfg', 'check_of_load_from'}


@pytest.fixture
def hostile(request, tmp_path, shapes):
    """The file, what is to be said of it, and a folder to work in.

    In the end nothing lies beside the file, and the process is as it was.
    """
    folder, place = tmp_path / 'attack', tmp_path / 'work'
    folder.mkdir()
    place.mkdir()
    (place / 'shapes').symlink_to(shapes)
    path = folder / 'evil.pth'
    make, message = INPUTS[request.param]
    make(path, str(folder / 'trace'))
    before = state()
    yield path, message, place
    assert [p.name for p in folder.iterdir()] == ['evil.pth']
    assert state() == before


def state():
    return (
        set(torch.serialization.get_safe_globals()),
        {k: v for k, v in os.environ.items() if k.startswith('TORCH')},
        torch.load,
        list(CheckpointLoader._schemes.items()),
        list(torch._utils._sparse_tensors_to_validate),
    )


def check(message, path, expected):
    assert message is not None, 'the file has been loaded'
    assert str(path) in message
    assert re.search(expected, message), message
    assert message.isprintable()
    for advice in ('weights_only', 'Traceback', 'trusted'):
        assert advice not in message


@pytest.mark.parametrize('hostile', INPUTS, indirect=True)
def test_what_is_wrong_is_said_in_one_line(hostile):
    path, expected, _ = hostile
    with pytest.raises(ValueError) as caught:
        read_checkpoint(path)
    check(str(caught.value), path, expected)


@pytest.mark.parametrize(
    'hostile', [name for name in INPUTS if name not in IN_CONTENTS], indirect=True
)
def test_it_is_said_as_well_where_names_and_shapes_are_read_alone(hostile):
    path, expected, _ = hostile
    with pytest.raises(ValueError) as caught:
        read_checkpoint(path, 'meta')
    check(str(caught.value), path, expected)


@pytest.mark.parametrize('way', ENTRIES)
@pytest.mark.parametrize('hostile', EACH_KIND, indirect=True)
def test_every_way_in(hostile, way):
    path, expected, folder = hostile
    check(ENTRIES[way](path, folder), path, expected)
    assert list(folder.rglob('*.pth')) + list(folder.rglob('*.png')) == []


@pytest.mark.wide
@pytest.mark.parametrize('way', ENTRIES)
@pytest.mark.parametrize(
    'hostile', [name for name in INPUTS if name not in EACH_KIND], indirect=True
)
def test_every_file_by_every_way_in(request, hostile, way):
    if way in NAMES_ALONE and request.node.callspec.params['hostile'] in IN_CONTENTS:
        pytest.skip('reads names and shapes alone')
    test_every_way_in(hostile, way)


@pytest.mark.parametrize('name', RUN_CODE)
def test_the_attacks_work_on_a_loader_that_is_not_safe(tmp_path, name):
    path, trace = tmp_path / 'evil.pth', tmp_path / 'trace'
    INPUTS[name][0](path, str(trace))
    if 'bare' in name:
        pickle.loads(path.read_bytes())
    else:
        try:
            torch.load(path, weights_only=False)
        except (TypeError, AttributeError):
            pass  # It has run by then, and what it returns is no storage.
    assert trace.exists()
