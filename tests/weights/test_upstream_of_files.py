"""Private names of other packages that reading relies on are there and mean the same.

Where one of these fails with a new release, read that release's code before anything is
changed here: what is safe depends on it.
"""

import _compat_pickle
import inspect
import pickle
import sys

import pytest
import timm.models
import torch
from mmengine.runner import CheckpointLoader, Runner
from mmengine.runner import checkpoint as theirs
from packaging.version import Version

from plugin.weights import upstream
from plugin.weights.files import timm_reading
from plugin.weights.files.archive import Archive
from plugin.weights.files.safe_loading import REPLACEMENTS
from plugin.weights.upstream import own_unpickler


class Data:
    pass


def test_torchs_unpickler_runs_a_second_time_with_a_list_of_its_own():
    before = torch.serialization.get_safe_globals()
    own = own_unpickler([(Data, 'a.B')])
    assert own.__name__ == 'torch._weights_only_unpickler'
    assert sys.modules[own.__name__] is torch._weights_only_unpickler is not own
    assert own._get_user_allowed_globals() == {'a.B': Data}
    assert own_unpickler([])._get_user_allowed_globals() == {}
    assert torch.serialization.get_safe_globals() == before


def test_torchs_own_list_is_one_for_each_unpickler():
    one, other = own_unpickler([]), own_unpickler([])
    theirs = torch._weights_only_unpickler._get_allowed_globals()
    assert upstream.torchs_globals(one).keys() == theirs.keys()
    upstream.torchs_globals(one)['torch._utils._rebuild_sparse_tensor'] = Data
    for module in other, torch._weights_only_unpickler:
        rebuild = module._get_allowed_globals()['torch._utils._rebuild_sparse_tensor']
        assert rebuild is torch._utils._rebuild_sparse_tensor
    assert 'a.B' in upstream.allowed_names(own_unpickler([(Data, 'a.B')]))


def test_torchs_unpickler_asks_the_list_and_for_each_storage(tmp_path):
    import io

    own = own_unpickler([(Data, 'a.B')])
    assert type(own.load(io.BytesIO(b'\x80\x02ca\nB\n)\x81.'))) is Data
    for refused in (b'\x80\x02ca\nC\n.', b'\x80\x02cos\nsystem\n.'):
        with pytest.raises(pickle.UnpicklingError, match='GLOBAL'):
            own.load(io.BytesIO(refused))
    unpickler = own.Unpickler(io.BytesIO(b'\x80\x02(X\x07\x00\x00\x00storageK\x01tQ.'))
    unpickler.persistent_load = lambda claim: ('asked', claim)
    assert unpickler.load() == ('asked', ('storage', 1))


def test_torchs_list_of_sparse_tensors_is_left_alone(tmp_path):
    if not hasattr(torch._weights_only_unpickler, '_sparse_tensors_to_validate'):
        pytest.skip('this torch keeps no such list')
    own = own_unpickler([])
    assert own._sparse_tensors_to_validate == []
    shared = torch._weights_only_unpickler._sparse_tensors_to_validate
    assert shared is torch._utils._sparse_tensors_to_validate
    assert own._sparse_tensors_to_validate is not shared


def test_torchs_load_of_an_archive_asks_for_nothing_that_ours_lacks(tmp_path):
    torch.save({'a': torch.ones(2)}, tmp_path / 'a.pth')
    asked = set()

    class Noted(Archive):
        def __getattribute__(self, name):
            asked.add(name)
            return super().__getattribute__(name)

    for location in (None, 'meta'):
        with open(tmp_path / 'a.pth', 'rb') as file:
            archive = Noted(file, 10_000)
            asked.clear()
            upstream.load_archive(archive, location, own_unpickler([]), 'utf-8')
        public = {name for name in asked if not name.startswith('_')}
        assert public <= {n for n in vars(Archive) if not n.startswith('_')}
        assert 'get_record' in public
    parameters = list(inspect.signature(torch.serialization._load).parameters)
    assert parameters[:3] == ['zip_file', 'map_location', 'pickle_module']


def test_torchs_load_of_the_old_format_takes_its_tar_format_by_the_descriptor(tmp_path):
    # Why a file without a descriptor is handed to it.
    source = inspect.getsource(torch.serialization._legacy_load)
    assert 'if f_should_read_directly and f.tell() == 0:' in source
    assert 'if pickle_module is _weights_only_unpickler:' in source
    direct = torch.serialization._should_read_directly
    with open(__file__, 'rb') as file:
        assert direct(file)
        with pytest.MonkeyPatch.context() as patch:
            from plugin.weights.files.reading import _NoDescriptor

            patch.undo()
            assert not direct(_NoDescriptor(file.raw))


def test_a_storage_knows_its_bytes():
    assert upstream.bytes_of(torch.ones(3)._typed_storage()) == 12


def test_an_error_leaves_no_location_behind(tmp_path):
    assert torch.serialization._serialization_tls.map_location is None
    with pytest.raises(AttributeError):
        upstream.load_archive(object(), 'cpu', own_unpickler([]), 'utf-8')
    assert torch.serialization._serialization_tls.map_location is None


def test_names_of_python_2_are_given_as_todays():
    assert ('__builtin__', 'reduce') in _compat_pickle.NAME_MAPPING
    assert upstream.todays_name('__builtin__', 'eval') == ('builtins', 'eval')
    assert upstream.todays_name('__builtin__', 'xrange') == ('builtins', 'range')
    assert upstream.todays_name('copy_reg', 'f') == ('copyreg', 'f')
    assert upstream.todays_name('a', 'b') == ('a', 'b')


def test_mmengines_schemes_are_a_table_of_the_class():
    assert upstream.schemes() is CheckpointLoader._schemes
    assert {'', 'http://', 'https://'} <= set(CheckpointLoader._schemes)
    assert CheckpointLoader._get_checkpoint_loader('a') is CheckpointLoader._schemes['']


def test_what_is_replaced_in_mmengine_is_what_it_calls():
    sources = {
        theirs._load_checkpoint: 'CheckpointLoader.load_checkpoint(',
        theirs.load_checkpoint: '_load_checkpoint(',
        theirs.load_from_torchvision: 'return load_from_http(',
        theirs.load_from_openmmlab: 'checkpoint = load_from_http(',
        Runner.load_checkpoint: 'checkpoint = _load_checkpoint(',
        Runner.resume: "checkpoint['meta']['config'], file_format='.py'",
    }
    for function, call in sources.items():
        assert call in inspect.getsource(inspect.unwrap(function))
    for replacement in REPLACEMENTS:
        assert replacement.name in vars(replacement.owner)


@pytest.mark.parametrize(('module', 'name', 'make'), timm_reading.REPLACEMENTS)
def test_what_is_replaced_in_timm_is_what_it_calls(module, name, make):
    original = inspect.unwrap(getattr(sys.modules[module], name))
    ours = inspect.signature(make(original), follow_wrapped=False)
    expected = list(ours.parameters)
    if name == '_torch_load' and Version(timm.__version__) < Version('1.0.31'):
        expected.remove('mmap')
    assert list(inspect.signature(original).parameters) == expected


def test_timm_reads_pickles_in_one_place_only():
    import re
    from pathlib import Path

    calls = [
        path.name
        for path in Path(timm.models.__file__).parent.glob('*.py')
        for _ in re.findall(r'\btorch\.load\(', path.read_text())
    ]
    assert set(calls) == {'_helpers.py'}
    source = inspect.getsource(timm.models._builder.load_pretrained)
    # Two calls of load_state_dict_from_url: the second one is without weights_only.
    assert source.count('load_state_dict_from_url(') == 2 or 'result = original' in (
        source
    )
