"""The text of a config, against ruff."""

import subprocess
import sys

import pytest

from plugin.config.text import Name, statement
from plugin.swap.draft import Draft

VALUES = {
    'short': dict(type='A', x=[1, 2], y=(3,), z=None, w=1e-05),
    'a call whose arguments have a line': dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    'a call with a line each': dict(
        _delete_=True, type='plugin.ConvNeXt', arch='tiny', out_indices=(1, 2, 3), a=1.0
    ),
    'a list with a line each': [dict(type='LinearLR', start_factor=0.001)] * 3,
    'a list that would fit a line of its own': [111111] * 9,
    'no names': {'a.b': dict(lr_mult=0.1), 'class': 2},
    'deep': dict(a=dict(b=dict(c=[list(range(30)), 'it\'s "so"'], d=()), e={})),
    'a variable': dict(lr=Name('base_lr * 0.5'), t=[Name('x')] * 20),
    'a tuple of one': dict(a='a' * 40, b=('b' * 40,)),
}


def ruff_format(text):
    done = subprocess.run(
        [
            *(sys.executable, '-m', 'ruff', 'format', '--isolated', '-'),
            *('--config', "format.quote-style='single'"),
        ],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.mark.parametrize('value', VALUES.values(), ids=VALUES)
@pytest.mark.parametrize('name', ['a', 'a_longer_name_that_takes_room'])
def test_a_statement_is_as_ruff_formats_it(name, value):
    text = '\n'.join(statement(name, value, {})) + '\n'
    assert ruff_format(text) == text
    names = dict(base_lr=1.0, x=2)
    exec(text, names)
    if 'Name(' not in repr(value):
        assert names[name] == value


def test_a_comment_breaks_what_it_stands_in():
    value = dict(a=1, b=dict(c=2))
    lines = statement('x', value, {('b', 'c'): 'why', (): 'top'})
    assert lines == [
        *('# top', 'x = dict(', '    a=1,', '    b=dict(', '        # why'),
        *('        c=2,', '    ),', ')'),
    ]
    text = '\n'.join(lines) + '\n'
    assert ruff_format(text) == text


def test_a_long_comment_is_wrapped_at_88_columns():
    lines = statement('x', 1, {(): 'word ' * 40})
    assert len(lines) == 4 and all(len(line) <= 88 for line in lines)


def test_a_long_string_keeps_its_line():
    assert statement('x', 'a' * 100, {}) == [f'x = {"a" * 100!r}  # noqa: E501']


def test_a_draft_is_in_the_order_in_which_a_model_is_read():
    draft = Draft('./base.py', ['plugin.det'])
    draft.add(('find_unused_parameters', True, 'why'))
    draft.assign('model.neck.start_level', 0)
    draft.assign('model.neck.in_channels', draft.variable('channels', [1, 2]))
    draft.assign('model.backbone', dict(type='plugin.A'), 'a backbone')
    draft.assign('model.auxiliary_head[1].in_channels', 3)
    assert draft.text() == (
        "_base_ = './base.py'\n"
        "custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)\n\n"
        'channels = [1, 2]\n'
        'auxiliary_head = _base_.model.auxiliary_head\n'
        'auxiliary_head[1].in_channels = 3\n\n'
        'model = dict(\n'
        '    # a backbone\n'
        "    backbone=dict(type='plugin.A'),\n"
        '    neck=dict(in_channels=channels, start_level=0),\n'
        '    auxiliary_head=auxiliary_head,\n'
        ')\n\n'
        '# why\n'
        'find_unused_parameters = True\n'
    )
