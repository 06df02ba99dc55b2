"""mmengine merges what a child writes to the wanted config."""

import pytest
from mmengine.config import Config

from plugin.config.edits import Edit, apply_fixes, assign, both, delete
from plugin.config.overrides import override, statements

BASE = dict(
    default_scope='mmdet',
    model=dict(
        backbone=dict(type='ResNet', depth=50, init_cfg=dict(type='P', a=1)),
        neck=dict(type='FPN', _scope_='mmdet', in_channels=[256, 512]),
        heads=[dict(type='A', _scope_='mmseg', n=1), dict(type='B', n=(1, 2))],
        pretrained=None,
    ),
    lr=0.1,
)

CASES = {
    'a list is written whole': (
        assign('model.neck.in_channels', [1, 2]),
        'model = dict(neck=dict(in_channels=[1, 2]))\n',
    ),
    'an item of a list takes the whole list along, and marks of other scopes': (
        assign('model.heads[1].n', (3, 4)),
        "model = dict(heads=[dict(type='A', _scope_='mmseg', n=1), "
        "dict(type='B', n=(3, 4))])\n",
    ),
    'a key that is gone is gone with all of its dict, and mmengine marks it': (
        delete('model.neck.in_channels'),
        "model = dict(neck=dict(_delete_=True, type='FPN'))\n",
    ),
    'a dict over None': (
        assign('model.pretrained', dict(a=1)),
        'model = dict(pretrained=dict(_delete_=True, a=1))\n',
    ),
    'a new name': (assign('load_from', 'x.pth'), "load_from = 'x.pth'\n"),
    'a dict that is not there yet': (
        assign('optim_wrapper.paramwise_cfg.decay_rate', 0.9),
        'optim_wrapper = dict(paramwise_cfg=dict(decay_rate=0.9))\n',
    ),
    'a key that is no name': (
        assign("model.neck['a.b']", 1),
        "model = dict(neck={'a.b': 1})\n",
    ),
    'a number that has no end': (assign('lr', float('inf')), "lr = float('inf')\n"),
    'two in one dict are one statement': (
        both([assign('model.neck.num_outs', 5), assign('model.backbone.depth', 18)]),
        'model = dict(backbone=dict(depth=18), neck=dict(num_outs=5))\n',
    ),
}


@pytest.mark.parametrize('name', CASES)
def test_a_child_with_these_lines_is_the_fixed_config(name, tmp_path):
    fix, expected = CASES[name]
    before = Config(BASE)
    after = apply_fixes(before, [fix])
    text = statements(before._cfg_dict, after._cfg_dict, False, 'mmdet')
    assert text == expected
    (tmp_path / 'base.py').write_text(
        ''.join(f'{k} = {v!r}\n' for k, v in BASE.items())
    )
    (tmp_path / 'child.py').write_text(f"_base_ = './base.py'\n{text}")
    found = Config.fromfile(str(tmp_path / 'child.py')).to_dict()
    wanted = after.to_dict()
    if fix[0].action == 'delete':
        del wanted['model']['neck']['_scope_']  # The default, said once more.
    assert found == wanted


def test_a_name_of_the_base_cannot_be_removed_by_a_child():
    with pytest.raises(ValueError, match='lr cannot be removed by'):
        override(BASE, {'model': BASE['model'], 'default_scope': 'mmdet'})


def test_what_has_no_text_is_refused():
    with pytest.raises(ValueError, match='cannot be written as text'):
        statements({}, {'a': object()}, False, None)


def test_an_edit_says_its_path_in_steps():
    assert Edit("a.b[1]['c d'].e", 'delete').steps == ('a', 'b', 1, 'c d', 'e')
