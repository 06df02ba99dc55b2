"""``--cfg-options``: what is printed goes through the shell and mmengine's parser."""

import shlex
from argparse import ArgumentParser
from copy import deepcopy

import pytest
from mmengine.config import Config, DictAction

from plugin.config.cfg_options import cfg_options
from plugin.config.edits import apply_fixes, assign, both, delete

CFG = Config(
    dict(
        model=dict(
            neck=dict(type='FPN', in_channels=[256, 512], outs=(1, 2)),
            heads=[dict(n=1), dict(n=2)],
            pretrained='a b.pth',
        ),
        custom_imports=dict(imports=['a']),
        lr=0.1,
    )
)


@pytest.mark.parametrize(
    ('fix', 'expected'),
    [
        (
            assign('model.neck.in_channels', [1, 2]),
            "--cfg-options 'model.neck.in_channels=[1,2]'",
        ),
        (assign('model.neck.outs', (3,)), "--cfg-options 'model.neck.outs=(3)'"),
        (assign('model.heads[1].n', 5), '--cfg-options model.heads.1.n=5'),
        (assign('model.pretrained', None), '--cfg-options model.pretrained=None'),
        (assign('lr', 1e-4), '--cfg-options lr=0.0001'),
        (
            both([assign('lr', 0.5), assign('model.neck.type', 'PAFPN')]),
            '--cfg-options lr=0.5 model.neck.type=PAFPN',
        ),
        (
            assign('model.neck.norm', dict(type='BN', eps=0.1)),
            '--cfg-options model.neck.norm.type=BN model.neck.norm.eps=0.1',
        ),
        # A key is taken out with all of its dict.
        (
            delete('model.neck.outs'),
            '--cfg-options model.neck._delete_=True model.neck.type=FPN '
            "'model.neck.in_channels=[256,512]'",
        ),
    ],
)
def test_mmengine_reads_what_is_meant(fix, expected):
    line = cfg_options(CFG, fix)
    assert line == expected
    parser = ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    changed = deepcopy(CFG)
    changed.merge_from_dict(parser.parse_args(shlex.split(line)).cfg_options)
    assert changed.to_dict() == apply_fixes(CFG, [fix]).to_dict()


@pytest.mark.parametrize(
    'fix',
    [
        assign('model.pretrained', 'c d.pth'),  # It takes spaces out.
        assign('model.pretrained', 'a,b'),  # It makes a list of it.
        assign('model.neck.type', '50'),  # It makes a number of it.
        assign('model.neck.type', dict),
        assign("model.neck['a.b']", 1),
        delete('model.heads[0]'),
        delete('lr'),
        # Read with the file, before the options are.
        assign('custom_imports', dict(imports=['a', 'b'])),
        assign('_base_', './base.py'),
        (),
    ],
)
def test_what_can_not_be_said_so_is_not_said(fix):
    assert cfg_options(CFG, fix) is None
