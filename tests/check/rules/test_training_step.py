"""``check --step``: what a step shows, and what is done with it."""

import pytest
import torch
from one_problem import RETINANET, write

import plugin.check.rules.training_step as rule
from plugin.check import examine
from plugin.check.checked_config import CheckedConfig
from plugin.config.names import load_config
from plugin.config.problem import ERROR, WARNING
from plugin.measure.failures import Failure
from plugin.measure.limits import TookTooLong
from plugin.measure.step.running import LOSS, PREDICT, Step
from plugin.spec import NoSamples


@pytest.fixture
def checked():
    return CheckedConfig(load_config(RETINANET))


@pytest.fixture
def steps(monkeypatch):
    """``steps(f)`` has ``f(size)`` in the place of a real step; returns the sizes."""

    def replace(outcome):
        sizes = []

        def train_step(cfg, spec, tell):
            sizes.append(spec.size[0])
            result = outcome(spec.size[0])
            if isinstance(result, BaseException):
                raise result
            return result

        monkeypatch.setattr(rule, 'train_step', train_step)
        return sizes

    return replace


def failed(error, path='bbox_head', **more):
    return Step(failure=Failure(error, path, **more), stage=LOSS)


def found(checked):
    return list(rule.training_step(checked))


def test_a_failure_that_a_larger_image_does_not_have_is_none(checked, steps):
    sizes = steps(lambda size: failed(RuntimeError('k')) if size < 224 else Step())
    assert found(checked) == []
    assert sizes == [128, 224]


def test_a_failure_at_the_config_s_own_size_counts(checked, steps):
    sizes = steps(lambda size: failed(RuntimeError('selected index k out of range')))
    (problem,) = found(checked)
    assert sizes == [128, 224, 448, 800]
    assert (problem.key, problem.kind) == ('model.bbox_head', 'training')
    assert problem.found == (
        'the loss stops in bbox_head at 800 pixels: '
        'RuntimeError: selected index k out of range'
    )
    assert (problem.severity, problem.unknown) == (ERROR, 'model.bbox_head')


def test_channels_do_not_depend_on_the_size(checked, steps):
    error = RuntimeError('channels')
    sizes = steps(lambda size: failed(error, 'neck.lateral_convs', takes=1, given=2))
    (problem,) = found(checked)
    assert sizes == [128]
    assert (problem.key, problem.kind) == ('model.neck.in_channels', 'channels')


@pytest.mark.parametrize(
    ('result', 'reason'),
    [
        (NoSamples('it takes text'), 'it takes text'),
        (TookTooLong('more than 600 s'), 'it takes more than 600 s'),
        (failed(MemoryError()), 'it takes more than 8 GiB'),
        (
            failed(RuntimeError('lap is not installed')),
            'RuntimeError: lap is not installed',
        ),
        (
            failed(AssertionError('Torch not compiled with CUDA enabled')),
            'AssertionError: Torch not compiled with CUDA enabled',
        ),
        (failed(ImportError('no fairscale')), 'ImportError: no fairscale'),
    ],
)
def test_what_the_machine_lacks_is_no_mistake(checked, steps, result, reason):
    steps(lambda size: result)
    assert found(checked) == []
    assert checked.not_judged == {'the training step': reason}


def test_a_field_that_the_samples_lack_is_no_mistake(checked, steps):
    from mmdet.structures import DetDataSample

    try:
        DetDataSample().gt_depth_map  # noqa: B018
    except AttributeError as error:
        lacking = error
    steps(lambda size: failed(lacking))
    assert found(checked) == []
    assert 'its samples lack a field' in checked.not_judged['the training step']


def test_unused_parameters_are_one_warning_with_what_ddp_needs(checked, steps):
    steps(lambda size: Step(unused=('backbone.a', 'backbone.b')))
    (problem,) = found(checked)
    assert (problem.severity, problem.kind) == (WARNING, 'training')
    assert problem.found.startswith('2 parameters need a gradient and get none')
    assert problem.in_short == 'find_unused_parameters=True'


def test_maps_that_no_head_uses_are_an_error_at_their_neck(checked, steps):
    steps(lambda size: Step(unused_maps=(('neck', 3), ('neck', 4))))
    (problem,) = found(checked)
    assert (problem.key, problem.severity, problem.kind) == (
        'model.neck',
        ERROR,
        'levels',
    )
    assert problem.found == 'map 3, 4, which no head uses'


def test_where_ddp_looks_for_them_they_are_no_problem(checked, steps):
    steps(lambda size: Step(unused=('backbone.a',)))
    checked.cfg.find_unused_parameters = True
    assert found(checked) == []


def test_a_wrapper_of_the_config_s_own_gets_the_setting(checked, steps):
    steps(lambda size: Step(unused=('backbone.a',)))
    checked.cfg.model_wrapper_cfg = dict(type='MMDistributedDataParallel')
    (problem,) = found(checked)
    assert problem.in_short == 'model_wrapper_cfg.find_unused_parameters=True'


def test_what_freezes_late_gets_the_hook_that_freezes_early(checked, steps):
    steps(lambda size: Step(frozen_late=('backbone.stages.0.weight',)))
    (problem,) = found(checked)
    assert (problem.key, problem.severity) == (
        'model.backbone.frozen_stages',
        WARNING,
    )
    assert problem.in_short == "custom_hooks=[{'type': 'plugin.FreezeBackboneHook'}]"
    fixed = CheckedConfig(load_config(RETINANET)).with_fixes([problem.fix])
    assert list(rule.training_step(fixed)) == []


def test_a_prediction_that_fails_is_reported_as_one(checked, steps):
    failure = Failure(KeyError('nms_pre'), 'bbox_head')
    steps(lambda size: Step(failure=failure, stage=PREDICT))
    (problem,) = found(checked)
    assert problem.expected == 'a prediction'
    assert problem.found.startswith('a prediction stops in bbox_head at 800 pixels')


def test_what_takes_long_is_announced(checked, monkeypatch):
    lines = []
    checked.tell = lines.append

    def train_step(cfg, spec, tell):
        tell(5.0)
        tell(47.4)
        return Step()

    monkeypatch.setattr(rule, 'train_step', train_step)
    assert found(checked) == []
    assert lines == ['a training step of this model takes about 47 s']


def test_weights_that_no_machine_holds_are_not_built(checked, steps, monkeypatch):
    sizes = steps(lambda size: Step())
    monkeypatch.setattr(rule, '_MEMORY', 1 << 20)
    assert found(checked) == [] and sizes == []
    assert checked.not_judged


@pytest.mark.slow
def test_a_problem_without_a_fix_comes_first(tmp_path):
    path = write(tmp_path, RETINANET, 'model = dict(bbox_head=None)')
    report = examine(str(path), step=True)
    assert [p.unknown for p in report.problems if p.unknown]
    assert 'the training step: what is wrong above comes first' in report.not_judged


@pytest.mark.slow
def test_the_config_is_trained_with_what_was_found_fixed(tmp_path):
    text = 'model = dict(backbone=dict(depth=18, init_cfg=None, frozen_stages=-1))'
    path = write(tmp_path, RETINANET, text)
    problems = examine(str(path), step=True).problems
    assert [p.kind for p in problems] == ['channels']


@pytest.mark.slow
def test_a_loss_of_the_user_s_own_that_raises_is_quoted(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'own_loss.py').write_text(
        'from torch import nn\n'
        'from plugin.registry import MODELS\n'
        '@MODELS.register_module(force=True)\n'
        'class OwnLoss(nn.Module):\n'
        '    def forward(self, *args, **kwargs):\n'
        "        raise ValueError('the labels of 3 maps')\n"
    )
    text = (
        "custom_imports = dict(imports=['own_loss'], allow_failed_imports=False)\n"
        'model = dict(backbone=dict(depth=18, init_cfg=None, frozen_stages=-1), '
        'neck=dict(in_channels=[64, 128, 256, 512]), '
        "bbox_head=dict(loss_bbox=dict(_delete_=True, type='plugin.OwnLoss')))\n"
        "train_dataloader = dict(dataset=dict(pipeline=[dict(type='Resize', "
        'scale=(64, 64), keep_ratio=True)]))'
    )
    path = write(tmp_path, RETINANET, text)
    (problem,) = [p for p in examine(str(path), step=True).problems]
    assert problem.key == 'model.bbox_head.loss_bbox'
    assert 'ValueError: the labels of 3 maps' in problem.found
    assert torch.is_grad_enabled()
