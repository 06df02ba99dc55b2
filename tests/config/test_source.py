"""The place where a key is written, in the user's file and in what it inherits from."""

import pytest

from plugin.config.source import ConfigSource, locate

BASE = """\
norm = dict(type='BN')
model = dict(
    backbone=dict(type='ResNet', depth=50, norm=norm),
    neck={'type': 'FPN', 'in_channels': [256, 512]},
    heads=[dict(type='A'), dict(type='B')],
)
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / 'base.py').write_text(BASE)

    def of(text, key, base="_base_ = './base.py'\n"):
        """(file, line, column, the text from there on) of a key."""
        path = tmp_path / 'my.py'
        path.write_text(base + text)
        found = locate(ConfigSource(path), key)
        if found is None:
            return None
        text = found.text[found.column - 1 :]
        return found.file.name, found.line, found.column, text

    return of


@pytest.mark.parametrize(
    ('text', 'key', 'expected'),
    [
        (
            'model = dict(\n    backbone=dict(depth=18))\n',
            'model.backbone.depth',
            ('my.py', 3, 19, 'depth=18))'),
        ),
        (
            'model = dict(neck=dict(out_channels=64))\n',
            'model.neck.in_channels',
            ('base.py', 4, 26, "'in_channels': [256, 512]},"),
        ),
        ('', 'model.heads[1].type', ('base.py', 5, 33, "type='B')],")),
        ('', 'model.heads[1]', ('base.py', 5, 28, "dict(type='B')],")),
        ('', 'model.backbone.norm.type', ('base.py', 1, 13, "type='BN')")),
        ('', 'model', ('base.py', 2, 1, 'model = dict(')),
        # What is written nowhere is at what would hold it.
        (
            '',
            'model.neck.num_outs',
            ('base.py', 4, 5, "neck={'type': 'FPN', 'in_channels': [256, 512]},"),
        ),
        (
            'model = dict(neck=dict(a=1))\n',
            'model.neck.num_outs',
            ('my.py', 2, 14, 'neck=dict(a=1))'),
        ),
        ('', 'optim_wrapper.lr', None),
        # What is deleted is not looked for in the base.
        (
            'model = dict(backbone=dict(_delete_=True, a=1))\n',
            'model.backbone.depth',
            ('my.py', 2, 14, 'backbone=dict(_delete_=True, a=1))'),
        ),
        (
            'heads = _base_.model.heads\nheads[0].b = 1\nmodel = dict(heads=heads)\n',
            'model.heads[0].b',
            ('my.py', 3, 1, 'heads[0].b = 1'),
        ),
        (
            'heads = _base_.model.heads\nheads[0].b = 1\nmodel = dict(heads=heads)\n',
            'model.heads[1].type',
            ('base.py', 5, 33, "type='B')],"),
        ),
        (
            'other = {{_base_.model.neck}}\n',
            'other.type',
            ('base.py', 4, 11, "'type': 'FPN', 'in_channels': [256, 512]},"),
        ),
        # Of a value from a variable, where that is used.
        (
            'n = 5\nmodel = dict(neck=dict(num_outs=n))\n',
            'model.neck.num_outs',
            ('my.py', 3, 24, 'num_outs=n))'),
        ),
        ('a = [\n    1,\n]\na.append(2)\n', 'a[1]', ('my.py', 5, 1, 'a.append(2)')),
        ("d = {'a b': 1}\n", "d['a b']", ('my.py', 2, 6, "'a b': 1}")),
        ('a = dict(ä=1); b = 2\n', 'b', ('my.py', 2, 16, 'b = 2')),
    ],
)
def test_a_key_is_found(place, text, key, expected):
    found = place(text, key)
    assert found == expected


PURE = (
    'from mmengine.config import read_base\n'
    'with read_base():\n'
    '    from .base import *\n'
)


@pytest.mark.parametrize(
    ('text', 'key', 'expected'),
    [
        ('', 'model.backbone.depth', ('base.py', 3)),
        (
            'model.update(dict(backbone=dict(depth=1)))',
            'model.backbone.depth',
            ('my.py', 4),
        ),
        ('model.backbone.merge(dict(depth=1))', 'model.backbone.depth', ('my.py', 4)),
        ('model.backbone.depth = 1', 'model.backbone.depth', ('my.py', 4)),
        ('model.backbone.depth = 1', 'model.backbone.type', ('base.py', 3)),
        ('two = dict(a=model)', 'two.a.backbone.depth', ('base.py', 3)),
    ],
)
def test_a_key_of_a_pure_config_is_found(place, text, key, expected):
    assert place(text, key, PURE)[:2] == expected


def test_lines_that_end_as_on_windows_are_counted(place):
    found = place('a = 1\r\nmodel = dict(\r\n    b=1)\r\n', 'model.b', '')
    assert found == ('my.py', 3, 5, 'b=1)')
