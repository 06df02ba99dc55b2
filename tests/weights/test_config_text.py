"""Of a config text in a checkpoint, settings are kept and nothing else is executed."""

import json
import sys
import time

import pytest
from crafted import save
from mmengine import Config
from mmengine.runner import CheckpointLoader

from plugin.weights.files.resume_state import plain_settings
from plugin.weights.files.safe_loading import allow_mmengine_checkpoints

PLAIN = "a = dict(b=[1, -2.5, ('c', None)], **{'d-e': {True}})\nf = {1: dict()}"


@pytest.fixture(autouse=True)
def allowed():
    allow_mmengine_checkpoints()


def executed(text):
    """Return what mmengine makes of a text, as it does on resume."""
    return Config.fromstring(text, '.py').to_dict()


@pytest.mark.parametrize(
    'text',
    [
        PLAIN,
        "gpu_ids = [0, 1]\nmodel = dict(type='mmdet.RetinaNet', neck=None)",
        'a = b = 1',
        "a = '''two\nlines'''",
        '',
    ],
)
def test_settings_are_kept_as_they_are(text):
    assert plain_settings(text) == (text, [])
    executed(text)


def test_a_dump_of_mmengine_is_kept_as_it_is(repo_root):
    path = repo_root / 'configs/det/retinanet_timm-resnet10t_fpn_1xb8-14e_shapes.py'
    text = Config.fromfile(path).pretty_text
    assert 'custom_imports' in text and 'plugin.det' in sys.modules
    assert plain_settings(text) == (text, [])


CODE = {
    'import os': 'Import in line 1',
    'from os import path': 'ImportFrom in line 1',
    'a = open("b")': 'a',
    'a = dict(b=[print(1)])': 'a',
    'a = dict(**print())': 'a',
    'a = dict(print())': 'a',
    'a = dict([(1, 2)])': 'a',
    'a = dict(*print())': 'a',
    'a = {print(): 1}': 'a',
    'a = {1: print()}': 'a',
    'a = {**print()}': 'a',
    'a = [b for b in (1,)]': 'a',
    'a = (lambda: 1)()': 'a',
    'a = f"{print()}"': 'a',
    'a = 1 + 1': 'a',
    'a = b': 'a',
    'a["b"] = 1': 'Assign in line 1',
    'a.b = 1': 'Assign in line 1',
    'a, b = 1, 2': 'Assign in line 1',
    'a: int = 1': 'AnnAssign in line 1',
    'a += 1': 'AugAssign in line 1',
    'del a': 'Delete in line 1',
    'def f(): pass': 'FunctionDef in line 1',
    'with read_base(): pass': 'With in line 1',
    '"text"': 'Expr in line 1',
    # Literals that raise when they are executed.
    'a = {[]: 1}': 'a',
    'a = {[1]}': 'a',
    'a = -"b"': 'a',
    'a = dict(**{1: 2})': 'a',
    'a = dict(**{"b": 1}, b=2)': 'a',
    # Names that mmengine or the text itself needs.
    "_base_ = 'other.py'": '_base_',
    '_deprecation_ = dict(expected="b")': '_deprecation_',
    '__builtins__ = {}': '__builtins__',
    'dict = 5': 'dict',
    'read_base = 5': 'read_base',
    "filename = 'b'": 'filename',
    "text = 'b'": 'text',
    "pretty_text = 'b'": 'pretty_text',
    "env_variables = 'b'": 'env_variables',
    "a = '{{ $HOME: }}'": 'a',
    # Imports.
    "custom_imports = dict(imports=['evilmod'])": 'custom_imports',
    "custom_imports = dict(imports='evilmod')": 'custom_imports',
    "custom_imports = dict(imports=['os', 'evilmod'])": 'custom_imports',
    "custom_imports = dict(imports=['os'], more=1)": 'custom_imports',
    'custom_imports = dict(imports=5)': 'custom_imports',
    'custom_imports = 5': 'custom_imports',
    "a = custom_imports = dict(imports=['evilmod'])": 'a',
}


@pytest.mark.parametrize('code', CODE)
def test_everything_else_is_left_out_and_named(code):
    text, dropped = plain_settings(f'{code}\nb = 1\nc = dict(d=2)')
    assert dropped == [CODE[code]]
    assert executed(text) == dict(b=1, c=dict(d=2))


@pytest.mark.parametrize('code', CODE)
def test_nothing_is_left_of_a_text_that_is_code_alone(code):
    assert plain_settings(code) == (None, [CODE[code]])


def test_an_import_of_what_has_been_imported_is_kept():
    text = "custom_imports = dict(imports=['json'], allow_failed_imports=False)"
    assert json is sys.modules['json']
    assert plain_settings(text) == (text, [])


@pytest.mark.parametrize(
    'text',
    ['a = ', b'a = 1', 5, 'a = ' + '(' * 500, 'a = "\ud800"', 'a = ' + '9' * 10_000],
)
def test_what_is_no_text_of_settings_is_dropped_whole(text):
    kept, (dropped,) = plain_settings(text)
    assert kept is None and dropped


def test_comments_that_mmengine_would_fill_in_are_gone():
    text = "a = 1  # {{ _base_.b }}\nb = '2'"
    assert plain_settings(text) == ("a = 1\nb = '2'", [])


def test_a_text_is_looked_at_in_time_that_grows_with_it():
    def seconds(settings):
        text = ''.join(f'a{i} = dict(b={i})\n' for i in range(settings))
        start = time.process_time()
        plain_settings(text + 'import os')
        return time.process_time() - start

    short = min(seconds(1000) for _ in range(3))
    assert min(seconds(8000) for _ in range(3)) < 40 * short


def test_a_text_that_is_too_long_is_dropped_unseen():
    # mmengine took more than a minute for it.
    text = ''.join(f'a{i} = {i}\n' for i in range(200_000))
    start = time.process_time()
    assert plain_settings(text) == (None, [f'all of its {len(text):,} characters'])
    assert time.process_time() - start < 0.1


@pytest.mark.parametrize('place', ['meta', 'runtime_info'])
@pytest.mark.parametrize('key', ['cfg', 'config'])
def test_both_places_of_a_checkpoint_are_looked_at(tmp_path, place, key, caplog):
    holder = {key: 'import os\na = 1', 'seed': 1}
    hub = {'message_hub': {'runtime_info': holder}}
    path = save(tmp_path / 'a.pth', **({'meta': holder} if place == 'meta' else hub))
    checkpoint = CheckpointLoader.load_checkpoint(str(path), 'cpu', logger=None)
    hub_info = checkpoint.get('message_hub', {}).get('runtime_info')
    got = checkpoint['meta'] if place == 'meta' else hub_info
    assert got == {key: 'a = 1', 'seed': 1}
