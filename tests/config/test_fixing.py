"""A fix in the text of the user's file: only what it is about changes."""

import textwrap

import pytest

from plugin.config import fixing
from plugin.config.edits import apply_fixes, assign, both, delete
from plugin.config.problem import ERROR, Problem
from plugin.config.reading import load
from plugin.config.workbench import workbench

BASE = """
model = dict(
    backbone=dict(type='ResNet', depth=50, init_cfg=dict(type='P', a=1)),
    neck=dict(type='FPN', in_channels=[256, 512], out_channels=256),
    heads=[dict(type='A', in_channels=256), dict(type='B', in_channels=256)],
)
hooks = [dict(type='H', epoch=3), dict(type='I')]
lr = 0.1
"""


def problem(fix):
    return Problem('model', 'argument', ERROR, '', '', fix)


def go_over(folder, text, *fixes):
    """Return the result of fixes in ``my.py``, which may inherit from ``base.py``."""
    (folder / 'base.py').write_text(BASE)
    path = folder / 'my.py'
    path.write_bytes(text.encode())
    with workbench(path) as bench:
        result = fixing.go_over(
            bench, path.read_bytes(), [problem(fix) for fix in fixes]
        )
    assert path.read_bytes() == text.encode()
    return result


def fixed(folder, text, *fixes):
    """The text after fixes that all can be made, and mean what they say."""
    text = textwrap.dedent(text)
    result = go_over(folder, text, *fixes)
    assert [(left.problem.in_short, left.reason) for left in result.left] == []
    wanted = apply_fixes(load(folder / 'my.py'), fixes)
    (folder / 'my.py').write_bytes(result.contents)
    found = load(folder / 'my.py')
    names = {edit.steps[0] for fix in fixes for edit in fix}
    assert {n: found[n] for n in names} == {n: wanted[n] for n in names}
    return result.contents.decode()


INHERITS = "_base_ = './base.py'\n"
NECK = 'model.neck.in_channels'

STYLES = {
    'a keyword of dict()': (
        INHERITS + 'model = dict(neck=dict(in_channels=[1, 2]))  # mine\n',
        [assign(NECK, [3, 4])],
        INHERITS + 'model = dict(neck=dict(in_channels=[3, 4]))  # mine\n',
    ),
    'an entry of a dict in braces': (
        INHERITS + "model = {'neck': {'in_channels': [1, 2]}}\n",
        [assign(NECK, [3, 4])],
        INHERITS + "model = {'neck': {'in_channels': [3, 4]}}\n",
    ),
    'an attribute': (
        "a = 1\nmodel = dict(neck=dict(x=1))\nmodel['neck']['in_channels'] = (1, 2)\n",
        [assign(NECK, (3, 4))],
        "a = 1\nmodel = dict(neck=dict(x=1))\nmodel['neck']['in_channels'] = (3, 4)\n",
    ),
    'an entry of a list': (
        'hooks = [\n    # the first\n    dict(a=1),\n    dict(a=2),  # two\n]\n',
        [assign('hooks[1].a', 5)],
        'hooks = [\n    # the first\n    dict(a=1),\n    dict(a=5),  # two\n]\n',
    ),
    'a key that is not there yet, in one line': (
        INHERITS + 'model = dict(neck=dict(in_channels=[1, 2]))\n',
        [assign('model.neck.num_outs', 5)],
        INHERITS + 'model = dict(neck=dict(in_channels=[1, 2], num_outs=5))\n',
    ),
    'a key that is not there yet, on a line of its own': (
        'model = dict(\n    neck=dict(\n        a=1,  # one\n        b=2))\n',
        [assign('model.neck.c', 3)],
        'model = dict(\n    neck=dict(\n        a=1,  # one\n        b=2,\n'
        '        c=3))\n',
    ),
    'a key below a comment': (
        'model = dict(\n    a=1,\n    b=2  # two\n    # the end\n)\n',
        [assign('model.c', 3)],
        'model = dict(\n    a=1,\n    b=2,  # two\n    c=3\n    # the end\n)\n',
    ),
    'what a base says, under a dict of the file': (
        INHERITS + 'model = dict(backbone=dict(depth=18))\n',
        [assign(NECK, [3, 4])],
        INHERITS
        + 'model = dict(backbone=dict(depth=18), neck=dict(in_channels=[3, 4]))\n',
    ),
    'what a base says, under a name that the file leaves alone': (
        INHERITS + 'lr = 0.2\n',
        [assign(NECK, [3, 4])],
        INHERITS + 'lr = 0.2\nmodel = dict(neck=dict(in_channels=[3, 4]))\n',
    ),
    'an item of a list of a base takes the whole list along': (
        INHERITS + 'lr = 0.2\n',
        [assign('hooks[0].epoch', 5)],
        INHERITS + "lr = 0.2\nhooks = [dict(type='H', epoch=5), dict(type='I')]\n",
    ),
    'a key of a base that is deleted takes the whole dict along': (
        INHERITS + 'model = dict(neck=dict(out_channels=64))\n',
        [delete('model.backbone.depth')],
        INHERITS
        + textwrap.dedent("""\
        model = dict(
            neck=dict(out_channels=64),
            backbone=dict(_delete_=True, type='ResNet', init_cfg=dict(type='P', a=1)),
        )
        """),
    ),
    'a key of a base in a dict that the file has': (
        INHERITS + 'model = dict(neck=dict(out_channels=64))\n',
        [delete('model.neck.in_channels')],
        INHERITS
        + "model = dict(neck=dict(_delete_=True, out_channels=64, type='FPN'))\n",
    ),
    'a key of the file alone is deleted with its comment': (
        INHERITS + 'model = dict(\n    neck=dict(\n        a=1,  # one\n        b=2,\n'
        '    ),\n)\n',
        [delete('model.neck.a')],
        INHERITS + 'model = dict(\n    neck=dict(\n        b=2,\n    ),\n)\n',
    ),
    'the last of a line': (
        INHERITS + 'model = dict(neck=dict(a=1, b=2))\n',
        [delete('model.neck.b')],
        INHERITS + 'model = dict(neck=dict(a=1))\n',
    ),
    'the only one of a line': (
        INHERITS + 'model = dict(neck=dict(a=1), backbone=dict(depth=18))\n',
        [delete('model.neck.a')],
        INHERITS + 'model = dict(neck=dict(), backbone=dict(depth=18))\n',
    ),
    'a renamed key': (
        INHERITS + 'model = dict(neck=dict(num_out=5, out_channels=64))\n',
        [both([delete('model.neck.num_out'), assign('model.neck.num_outs', 5)])],
        INHERITS + 'model = dict(neck=dict(out_channels=64, num_outs=5))\n',
    ),
    'an item of a list is deleted': (
        "hooks = [\n    dict(type='A'),\n    dict(type='B'),  # gone\n]\n",
        [delete('hooks[1]')],
        "hooks = [\n    dict(type='A'),\n]\n",
    ),
    'a variable is replaced where it is used': (
        'num = 80\nmodel = dict(a=dict(n=num), b=dict(n=num))\n',
        [assign('model.a.n', 3)],
        'num = 80\nmodel = dict(a=dict(n=3), b=dict(n=num))\n',
    ),
    'what a variable holds is changed in its definition': (
        "steps = [dict(type='A'), dict(type='BB')]\nloader = dict(pipeline=steps)\n",
        [assign('loader.pipeline[1].type', 'B')],
        "steps = [dict(type='A'), dict(type='B')]\nloader = dict(pipeline=steps)\n",
    ),
    'a variable that is used again is written out': (
        "norm = dict(type='BN')\nmodel = dict(a=dict(norm=norm), b=dict(norm=norm))\n",
        [assign('model.a.norm.type', 'GN')],
        "norm = dict(type='BN')\nmodel = dict(a=dict(norm=dict(type='GN')), "
        'b=dict(norm=norm))\n',
    ),
    'a variable whose uses all have the problem stays one': (
        "norm = dict(type='BM')\nmodel = dict(a=dict(norm=norm), b=dict(norm=norm))\n",
        [assign('model.a.norm.type', 'BN'), assign('model.b.norm.type', 'BN')],
        "norm = dict(type='BN')\nmodel = dict(a=dict(norm=norm), b=dict(norm=norm))\n",
    ),
    'a list that is taken over from the base and changed': (
        INHERITS + 'heads = _base_.model.heads\nheads[1].in_channels = 512\n'
        'model = dict(heads=heads)\n',
        [assign('model.heads[1].in_channels', 64)],
        INHERITS + 'heads = _base_.model.heads\nheads[1].in_channels = 64\n'
        'model = dict(heads=heads)\n',
    ),
    'a reference to the base is written out': (
        INHERITS + 'other = _base_.model.neck\n',
        [assign('other.in_channels', [3, 4])],
        INHERITS + "other = dict(type='FPN', in_channels=[3, 4], out_channels=256)\n",
    ),
    'a reference of the old kind': (
        INHERITS + 'other = {{_base_.model.neck}}\n',
        [assign('other.in_channels', [3, 4])],
        INHERITS + "other = dict(type='FPN', in_channels=[3, 4], out_channels=256)\n",
    ),
    'None over a dict': (
        INHERITS + 'model = dict(backbone=dict(depth=18))\n',
        [assign('model.backbone.init_cfg', None)],
        INHERITS + 'model = dict(backbone=dict(depth=18, init_cfg=None))\n',
    ),
    'a dict over None': (
        INHERITS + 'model = dict(backbone=dict(init_cfg=None))\n',
        [assign('model.backbone.init_cfg', dict(type='X'))],
        INHERITS
        + "model = dict(backbone=dict(init_cfg=dict(_delete_=True, type='X')))\n",
    ),
    'another module in a list of imports': (
        "custom_imports = dict(\n    imports=['a'],  # mine\n    "
        'allow_failed_imports=False,\n)\n',
        [
            assign(
                'custom_imports',
                dict(imports=['a', 'b'], allow_failed_imports=False),
            )
        ],
        "custom_imports = dict(\n    imports=['a', 'b'],  # mine\n    "
        'allow_failed_imports=False,\n)\n',
    ),
    'the ends of lines of Windows': (
        '_base_ = "./base.py"\r\nmodel = dict(\r\n    neck=dict(a=1),\r\n)\r\n',
        [assign('model.neck.num_outs', 5), assign('lr', 0.5)],
        '_base_ = "./base.py"\r\nmodel = dict(\r\n    neck=dict(a=1, num_outs=5),\r\n'
        ')\r\nlr = 0.5\r\n',
    ),
    'a file without an end of its last line': (
        INHERITS + 'lr = 0.2',
        [assign(NECK, [3, 4])],
        INHERITS + 'lr = 0.2\nmodel = dict(neck=dict(in_channels=[3, 4]))\n',
    ),
    'words of other alphabets': (
        INHERITS + "name = 'Fußgänger'  # 行人\nmodel = dict(neck=dict(a='ä', b=1))\n",
        [assign('model.neck.b', 2)],
        INHERITS + "name = 'Fußgänger'  # 行人\nmodel = dict(neck=dict(a='ä', b=2))\n",
    ),
    'a number in parentheses': (
        'lr = (0.1)  # low\n',
        [assign('lr', 0.5)],
        'lr = 0.5  # low\n',
    ),
    'a later assignment wins': (
        'model = dict(a=1)\nmodel = dict(a=2)\n',
        [assign('model.a', 3)],
        'model = dict(a=1)\nmodel = dict(a=3)\n',
    ),
    'a variable of the environment': (
        "lr = {{'$LR:0.1'}}\nmodel = dict(a=1)\n",
        [assign('model.a', 3)],
        "lr = {{'$LR:0.1'}}\nmodel = dict(a=3)\n",
    ),
}


@pytest.mark.parametrize('name', STYLES)
def test_only_what_the_fix_is_about_changes(name, tmp_path):
    text, fixes, expected = STYLES[name]
    assert fixed(tmp_path, text, *fixes) == expected


def test_a_variable_that_is_replaced_is_told(tmp_path):
    text = 'num = 80\nmodel = dict(a=dict(n=num), b=dict(n=num))\n'
    (done,) = go_over(tmp_path, text, assign('model.a.n', 3)).done
    assert done.notes == ('the value of `num` is now written out where it is used',)


@pytest.mark.parametrize(
    ('text', 'key', 'reason'),
    [
        ('hooks = [dict(a=1)]\nhooks += [dict(a=2)]\n', 'hooks[1].a', '`+=`'),
        ('hooks = [dict(a=1)]\nhooks.append(dict(a=2))\n', 'hooks[1].a', '`.append()`'),
        (
            'hooks = []\nfor i in range(3):\n    hooks.append(dict(a=i))\n',
            'hooks[1].a',
            '`for block`',
        ),
        ('hooks = [dict(a=i) for i in range(3)]\n', 'hooks[1].a', 'a comprehension'),
        (
            'one = dict(a=1)\nhooks = [dict(**one)]\n',
            'hooks[0].a',
            'a dict or list that takes in others by stars',
        ),
    ],
)
def test_what_is_computed_is_said_and_left(tmp_path, text, key, reason):
    result = go_over(tmp_path, text, assign(key, 7))
    assert result.contents.decode() == text and not result.done
    assert [left.reason for left in result.left] == [f'{reason} writes {key}']


def test_a_fix_that_fails_half_way_changes_nothing(tmp_path):
    text = 'a = 1\nhooks = [i for i in range(3)]\n'
    result = go_over(tmp_path, text, both([assign('a', 2), assign('hooks[0]', 5)]))
    assert result.contents.decode() == text


def test_behind_an_item_that_is_deleted_the_others_wait(tmp_path):
    text = 'hooks = [dict(a=1), dict(a=2), dict(a=3)]\n'
    result = go_over(tmp_path, text, delete('hooks[0]'), delete('hooks[1]'))
    assert result.contents.decode() == 'hooks = [dict(a=2), dict(a=3)]\n'
    assert [p.in_short for p in result.later] == ['del hooks[1]']


def test_a_base_of_several_folders_up_is_found(tmp_path):
    (tmp_path / 'base.py').write_text(BASE)
    folder = tmp_path / 'one/two'
    folder.mkdir(parents=True)
    path = folder / 'my.py'
    path.write_text("_base_ = ['../../base.py']\nlr = 0.2\n")
    with workbench(path) as bench:
        result = fixing.go_over(bench, path.read_bytes(), [problem(assign('lr', 0.3))])
    assert result.contents.decode() == "_base_ = ['../../base.py']\nlr = 0.3\n"


# The pure-Python style


IMPORT = 'from mmengine.config import read_base\n'
PURE = f'{IMPORT}\nwith read_base():\n    from .base import *\n'


def pure(folder, text, *fixes):
    return fixed(folder, PURE + text, *fixes).removeprefix(PURE)


def test_what_the_base_of_a_pure_config_says_is_merged(tmp_path):
    text = pure(tmp_path, 'lr = 0.2\n', assign(NECK, [3, 4]))
    assert text == 'lr = 0.2\nmodel.merge(dict(neck=dict(in_channels=[3, 4])))\n'


def test_an_update_of_a_pure_config_is_changed(tmp_path):
    old = 'model.update(dict(neck=dict(out_channels=64)))\n'
    text = pure(tmp_path, old, assign('model.neck.out_channels', 32))
    assert text == old.replace('64', '32')
    text = pure(tmp_path, old, assign('model.neck.num_outs', 5))
    assert text == 'model.update(dict(neck=dict(out_channels=64, num_outs=5)))\n'


def test_an_update_by_keywords_and_an_attribute(tmp_path):
    old = 'model.neck.update(out_channels=64)\nmodel.backbone.depth = 18\n'
    fixes = assign('model.neck.out_channels', 32), assign('model.backbone.depth', 34)
    text = pure(tmp_path, old, *fixes)
    assert text == 'model.neck.update(out_channels=32)\nmodel.backbone.depth = 34\n'


def test_a_key_of_the_base_of_a_pure_config_is_deleted(tmp_path):
    text = pure(tmp_path, '', delete('model.backbone.depth'))
    assert text == (
        'model.merge(dict(\n    backbone=dict(_delete_=True, '
        "type='ResNet', init_cfg=dict(type='P', a=1))\n))\n"
    )


def test_a_class_as_value_adds_its_import(tmp_path):
    from mmengine.optim import OptimWrapper

    old = 'wrapper = dict(type=None)\n'
    text = fixed(tmp_path, PURE + old, assign('wrapper.type', OptimWrapper))
    line = 'from mmengine.optim.optimizer.optimizer_wrapper import OptimWrapper\n'
    new = PURE.replace(IMPORT, IMPORT + line) + 'wrapper = dict(type=OptimWrapper)\n'
    assert text == new


def test_a_class_that_is_imported_is_not_imported_again(tmp_path):
    from mmengine.optim import AmpOptimWrapper

    head = 'from mmengine.optim import AmpOptimWrapper, OptimWrapper\n'
    old = head + 'a = dict(type=AmpOptimWrapper)\nb = dict(type=OptimWrapper)\n'
    text = fixed(tmp_path, old, assign('b.type', AmpOptimWrapper))
    assert text == old.replace(
        'b = dict(type=OptimWrapper)', 'b = dict(type=AmpOptimWrapper)'
    )
