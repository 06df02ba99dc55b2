"""Which files of a folder are configs."""

import pytest

from plugin.check.folders import configs_in, is_config


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        ("_base_ = './a.py'\n", True),
        ("_base_ = ['./a.py']\nlr = 1\n", True),
        ('model = dict(a=1)\n', True),
        ("model = {'a': 1}\n", True),
        ('with read_base():\n    from .a import *\n', True),
        # Scripts, which must not be run to be read.
        ('model = build()\n', False),
        ('def f():\n    model = dict()\n', False),
        ('with open("a") as file:\n    pass\n', False),
        ('x = (\n', False),
        ('', False),
    ],
)
def test_a_config_says_what_it_inherits_from_or_has_a_model(tmp_path, text, expected):
    path = tmp_path / 'a.py'
    path.write_text(text)
    assert is_config(path) is expected


def test_a_binary_file_is_no_config(tmp_path):
    (tmp_path / 'a.py').write_bytes(b'\x00\xff')
    assert not is_config(tmp_path / 'a.py')


def test_folders_are_searched_in_order_and_pieces_passed_over(tmp_path):
    names = [
        'b.py',
        'a.py',
        'det/c.py',
        '_base_/d.py',
        '.hidden/e.py',
        'work_dirs/f.py',
    ]
    for name in [*names, 'det/notes.txt']:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text('model = dict()\n')
    found = [path.relative_to(tmp_path).as_posix() for path in configs_in(tmp_path)]
    assert found == ['a.py', 'b.py', 'det/c.py']
