"""Files that are not configs, named in one line; and the pure Python style."""

import pytest

from plugin.check import NotAConfig, check
from plugin.config.reading import read

RETINANET = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'


def message(path):
    with pytest.raises(NotAConfig) as caught:
        check(str(path))
    assert '\n' not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ('name', 'text', 'reason'),
    [
        ('a.py', 'x = 1\ny = (\n', ", line 2: SyntaxError: '(' was never closed"),
        ('a.py', 'x = 1\ny = z\n', ", line 2: NameError: name 'z' is not defined"),
        (
            'a.py',
            'def f():\n    return 1 / 0\nx = f()\n',
            ', line 2: ZeroDivisionError',
        ),
        ('a.py', '', ': is empty; write at least a _base_ or a model'),
        ('a.yaml', 'a: [1', ', line 1: while parsing a flow sequence'),
        ('a.json', '[1]', ': it holds a list, not a mapping'),
        ('a.txt', 'x = 1', ': a config is a .py, .yml, .yaml or .json file'),
    ],
)
def test_the_message_has_the_file_the_line_and_the_reason(tmp_path, name, text, reason):
    path = tmp_path / name
    path.write_text(text)
    assert message(path).startswith(f'{path}{reason}')


def test_a_mistake_in_a_base_is_told_with_the_base(tmp_path):
    (tmp_path / 'b.py').write_text('x = 1\ny = z\n')
    (tmp_path / 'a.py').write_text("_base_ = './b.py'\n")
    assert message(tmp_path / 'a.py').startswith(
        f'{tmp_path / "b.py"}, line 2: NameError'
    )


def test_what_is_not_text_is_no_config(tmp_path):
    (tmp_path / 'a.py').write_bytes(b'\xff\xfe\x00')
    assert 'is not UTF-8 text; save it as UTF-8' in message(tmp_path / 'a.py')


def test_a_name_that_no_package_has_comes_with_the_nearest():
    with pytest.raises(FileNotFoundError) as caught:
        check('mmdet::retinanet/retinanet_r50_fpn_1x_coc')
    assert caught.value.strerror.startswith(
        'No such file; the nearest names are '
        'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py, '
    )


def test_a_name_may_do_without_its_suffix():
    cfg, problems = read(RETINANET.removesuffix('.py'))
    assert cfg.model.type == 'RetinaNet' and problems == []


PURE = """
from mmengine.optim import OptimWrapper
from torch.optim import SGD
from torch.nn import ReLU
from mmdet.models import FPN, {detector}, ResNet, RetinaHead, DetDataPreprocessor
from mmdet.models.losses import FocalLoss, L1Loss
from mmdet.models.task_modules import AnchorGenerator, DeltaXYWHBBoxCoder

default_scope = 'mmdet'
model = dict(
    type={detector},
    data_preprocessor=dict(type=DetDataPreprocessor),
    backbone=dict(type=ResNet, depth=50),
    neck=dict(type=FPN, in_channels={channels}, out_channels=256, num_outs=5),
    bbox_head=dict(
        type=RetinaHead,
        num_classes=80,
        in_channels=256,
        loss_cls=dict(type=FocalLoss),
        loss_bbox=dict(type=L1Loss),
        bbox_coder=dict(type=DeltaXYWHBBoxCoder),
        anchor_generator=dict(
            type=AnchorGenerator,
            octave_base_scale=4,
            scales_per_octave=3,
            ratios=[0.5, 1.0, 2.0],
            strides=[4, 8, 16, 32, 64],
        ),
    ),
)
optim_wrapper = dict(
    type=OptimWrapper, optimizer=dict(type=SGD, lr=0.01, {optimizer}=0.9))
"""


def pure(tmp_path, detector='RetinaNet', optimizer='momentum', channels=None):
    path = tmp_path / 'pure.py'
    channels = channels or [256, 512, 1024, 2048]
    path.write_text(
        PURE.format(detector=detector, optimizer=optimizer, channels=channels)
    )
    return check(str(path))


def test_classes_for_types_are_understood(tmp_path):
    assert pure(tmp_path) == []


def test_channels_are_compared_in_the_pure_python_style(tmp_path):
    (problem,) = pure(tmp_path, channels=[96, 192, 384, 768])
    assert problem.in_short == 'model.neck.in_channels=[256, 512, 1024, 2048]'


def test_an_import_that_fails_is_a_type_that_does_not_resolve(tmp_path):
    (problem,) = pure(tmp_path, detector='RetinaNett')
    assert (problem.key, problem.kind) == ('model.type', 'registry')
    assert problem.found == 'mmdet.models.RetinaNett'
    assert problem.in_short == "model.type='RetinaNet'"


def test_an_argument_of_a_class_is_compared(tmp_path):
    (problem,) = pure(tmp_path, optimizer='momentun')
    key = 'optim_wrapper.optimizer'
    assert problem.in_short == f'del {key}.momentun; {key}.momentum=0.9'


def test_a_pure_python_config_inherits(tmp_path):
    pure(tmp_path)
    path = tmp_path / 'child.py'
    path.write_text(
        'from mmengine.config import read_base\n'
        'with read_base():\n'
        '    from .pure import *\n'
        'model.update(dict(backbone=dict(depth=18)))\n'
    )
    (problem,) = check(str(path))
    assert problem.in_short == 'model.neck.in_channels=[64, 128, 256, 512]'
