"""Freezing hooks against the loop and the backbone, and what is frozen for good."""

import sys

import pytest
from one_problem import DET, RETINANET, SEG, UPERNET, Reported, fix_it, write

from plugin.check import check
from plugin.config.problem import ERROR, WARNING

pytestmark = pytest.mark.slow

EPOCHS, ITERS = 'UnfreezeBackboneEpochBasedHook', 'UnfreezeBackboneIterBasedHook'


def problem(key, found, expected, fix, severity=ERROR):
    return Reported(key, 'freeze', severity, found, expected, fix)


def hooks(*entries):
    return f'custom_hooks = {list(entries)!r}\n'


def seg(*entries):
    frozen = 'model = dict(backbone=dict(frozen_stages=1))\n'
    return f'{SEG}{frozen}{hooks(*entries)}'


# When


def test_unfreezing_in_time_is_no_problem(tmp_path):
    text = DET + hooks(dict(type=EPOCHS, unfreeze_epoch=11))
    assert check(str(write(tmp_path, RETINANET, text))) == []


def test_a_loop_of_iterations_takes_the_other_hook_at_the_same_part_of_it(tmp_path):
    fixed = fix_it(
        write(tmp_path, UPERNET, seg(dict(type=EPOCHS, unfreeze_epoch=3))),
        problem(
            'custom_hooks[0]',
            f'{EPOCHS}: this loop counts iterations, and the hook counts epochs',
            ITERS,
            f"custom_hooks[0].type='{ITERS}'; del custom_hooks[0].unfreeze_epoch; "
            'custom_hooks[0].unfreeze_iter=20000',
        ),
    )
    assert fixed.custom_hooks == [dict(type=ITERS, unfreeze_iter=20000)]


def test_so_do_its_milestones(tmp_path):
    hook = dict(type=f'plugin.{EPOCHS}', milestones=[(1, 0), (8, -1)])
    fixed = fix_it(
        write(tmp_path, UPERNET, seg(hook)),
        problem(
            'custom_hooks[0]',
            f'{EPOCHS}: this loop counts iterations, and the hook counts epochs',
            ITERS,
            f"custom_hooks[0].type='plugin.{ITERS}'; "
            'custom_hooks[0].milestones=[[5000, 0], [40000, -1]]',
        ),
    )
    assert fixed.custom_hooks[0].milestones == [[5000, 0], [40000, -1]]


@pytest.mark.parametrize(
    ('base', 'text', 'name', 'unit', 'end'),
    [
        (RETINANET, DET, EPOCHS, 'epoch', 12),
        (UPERNET, SEG, ITERS, 'iter', 80000),
    ],
)
def test_unfreezing_past_the_end_is_reported(tmp_path, base, text, name, unit, end):
    frozen = 'model = dict(backbone=dict(frozen_stages=1))\n'
    hook = {'type': name, f'unfreeze_{unit}': end}
    word = 'epoch' if unit == 'epoch' else 'iteration'
    fix_it(
        write(tmp_path, base, text + frozen + hooks(hook)),
        problem(
            f'custom_hooks[0].unfreeze_{unit}',
            f'unfreezes after {word} {end}, but training has {end} {word}s',
            f'a number from 0 to {end - 1}',
            f'custom_hooks[0].unfreeze_{unit}={end // 2}',
        ),
    )


def test_milestones_past_the_end_move_together(tmp_path):
    hook = dict(type=EPOCHS, milestones=[(5, 0), (23, -1)])
    fix_it(
        write(tmp_path, RETINANET, DET + hooks(hook)),
        problem(
            'custom_hooks[0].milestones',
            'unfreezes after epoch 23, but training has 12 epochs',
            'a number from 0 to 11',
            'custom_hooks[0].milestones=[[2, 0], [11, -1]]',
        ),
    )


def test_milestones_that_would_fall_together_unfreeze_all_at_once(tmp_path):
    hook = dict(type=EPOCHS, milestones=[(98, 0), (99, -1)])
    fix_it(
        write(tmp_path, RETINANET, DET + hooks(hook)),
        problem(
            'custom_hooks[0].milestones',
            'unfreezes after epoch 99, but training has 12 epochs',
            'a number from 0 to 11',
            'del custom_hooks[0].milestones; custom_hooks[0].unfreeze_epoch=6',
        ),
    )


def test_iterations_of_a_loop_of_epochs_cannot_be_counted(tmp_path):
    text = DET + hooks(dict(type=ITERS, unfreeze_iter=10**9))
    assert check(str(write(tmp_path, RETINANET, text))) == []


# What the hooks are given


@pytest.mark.parametrize(
    ('arguments', 'key', 'fix'),
    [
        (
            dict(unfreeze_epoch=-1),
            'unfreeze_epoch',
            'custom_hooks[0].unfreeze_epoch=1',
        ),
        (
            dict(milestones=[(1, 0), (1, -1)]),
            'milestones',
            'del custom_hooks[0].milestones',
        ),
        (
            dict(unfreeze_epoch=2, milestones=[(1, -1)]),
            'milestones',
            'del custom_hooks[0].milestones',
        ),
        (
            dict(unfreeze_epoch=2, warmup_ratio=0),
            'warmup_ratio',
            'del custom_hooks[0].warmup_ratio',
        ),
    ],
)
def test_bad_arguments_are_taken_out(tmp_path, arguments, key, fix):
    config = write(tmp_path, RETINANET, DET + hooks(dict(type=EPOCHS, **arguments)))
    (found,) = check(str(config))
    assert (found.key, found.in_short) == (f'custom_hooks[0].{key}', fix)
    fix_it(config, found)


def test_a_hook_of_iterations_must_say_which(tmp_path):
    config = write(tmp_path, UPERNET, seg(dict(type=ITERS)))
    (found,) = check(str(config))
    assert found.key == 'custom_hooks[0]'
    assert found.in_short == 'custom_hooks[0].unfreeze_iter=6666'
    fix_it(config, found)


def test_a_milestone_that_unfreezes_nothing_is_reported(tmp_path):
    hook = dict(type=EPOCHS, milestones=[(2, 1), (4, -1)])
    config = write(tmp_path, RETINANET, DET + hooks(hook))
    (found,) = check(str(config))
    assert found.key == 'custom_hooks[0].milestones'
    assert found.found.startswith('frozen_stages=1 after 2 epochs unfreezes nothing')
    assert found.in_short == (
        'del custom_hooks[0].milestones; custom_hooks[0].unfreeze_epoch=2'
    )
    fix_it(config, found)


def test_a_stage_that_the_backbone_has_not_is_reported(tmp_path):
    hook = dict(type='FreezeBackboneHook', frozen_stages=9)
    config = write(tmp_path, RETINANET, DET + hooks(hook))
    (found,) = check(str(config))
    assert found.key == 'custom_hooks[0].frozen_stages'
    assert found.in_short == 'custom_hooks[0].frozen_stages=1'
    fix_it(config, found)


def test_names_to_be_kept_frozen_must_be_there(tmp_path):
    hook = dict(type=EPOCHS, keep_frozen=['pos_embed'])
    config = write(tmp_path, RETINANET, DET + hooks(hook))
    (found,) = check(str(config))
    assert found.key == 'custom_hooks[0].keep_frozen'
    assert found.in_short == 'del custom_hooks[0].keep_frozen'
    fix_it(config, found)


def test_a_backbone_by_another_name_must_be_there(tmp_path):
    hook = dict(type=EPOCHS, backbone='student.backbone')
    config = write(tmp_path, RETINANET, DET + hooks(hook))
    (found,) = check(str(config))
    assert found.found.startswith("backbone='student.backbone' is not a module")
    assert found.in_short == 'del custom_hooks[0].backbone'
    fix_it(config, found)


def test_of_two_hooks_on_one_backbone_the_second_goes(tmp_path):
    freezing = dict(type='FreezeBackboneHook', frozen_stages=2)
    fix_it(
        write(tmp_path, RETINANET, DET + hooks(dict(type=EPOCHS), freezing)),
        problem(
            'custom_hooks[1]',
            'FreezeBackboneHook on the backbone that custom_hooks[0] already holds',
            'one hook, with all its milestones',
            'del custom_hooks[1]',
        ),
    )


# On what backbone


def test_a_backbone_that_cannot_freeze_is_reported(tmp_path, monkeypatch):
    (tmp_path / 'stageless.py').write_text(
        'from mmdet.models import ResNet\n'
        'from plugin.registry import MODELS\n'
        'class Stageless(ResNet):\n'
        '    def __init__(self, **kwargs):\n'
        '        super().__init__(**kwargs)\n'
        '        del self.frozen_stages\n'
        '    def _freeze_stages(self):\n'
        '        pass\n'
        "MODELS.register_module(name='Stageless', module=Stageless, force=True)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    text = (
        "custom_imports = dict(imports=['plugin.det', 'stageless'], "
        'allow_failed_imports=False)\n'
        "model = dict(backbone=dict(_delete_=True, type='plugin.Stageless', "
        'depth=50))\n'
    )
    fix_it(
        write(tmp_path, RETINANET, text + hooks(dict(type=EPOCHS))),
        problem(
            'custom_hooks[0]',
            'Stageless has no frozen_stages, so nothing can be unfrozen',
            'a backbone that can freeze, such as plugin.ConvNeXt, plugin.TIMMBackbone, '
            'mmdet.ResNet or mmdet.SwinTransformer',
            'del custom_hooks[0]',
        ),
    )


def test_a_hook_with_nothing_to_unfreeze_is_a_warning(tmp_path):
    text = DET + 'model = dict(backbone=dict(frozen_stages=-1))\n'
    fix_it(
        write(tmp_path, RETINANET, text + hooks(dict(type=EPOCHS))),
        problem(
            'custom_hooks[0]',
            f'{EPOCHS}, but frozen_stages=-1 freezes nothing',
            'model.backbone.frozen_stages above -1, or no such hook',
            'model.backbone.frozen_stages=1',
            WARNING,
        ),
    )


TUTORIAL = """
from mmdet.registry import HOOKS
from mmengine.hooks import Hook


class UnfreezeBackboneEpochBasedHook(Hook):
    def __init__(self, unfreeze_epoch=1):
        self.unfreeze_epoch = unfreeze_epoch

    def before_train_epoch(self, runner):
        if runner.epoch == self.unfreeze_epoch:
            for param in runner.model.backbone.parameters():
                param.requires_grad = True{more}


HOOKS.register_module(name={name!r}, module=UnfreezeBackboneEpochBasedHook)
"""


@pytest.fixture
def own_hook(tmp_path, monkeypatch):
    """Registers a hook of the user's own with that name, and takes it out again."""
    from mmdet.registry import HOOKS

    monkeypatch.syspath_prepend(tmp_path)
    names = []

    def make(name, more=''):
        names.append(name)
        (tmp_path / f'{name}.py').write_text(TUTORIAL.format(name=name, more=more))
        return (
            f'custom_imports = dict(imports=[{name!r}], allow_failed_imports=False)\n'
        )

    yield make
    for name in names:
        HOOKS._module_dict.pop(name, None)
        sys.modules.pop(name, None)


def test_the_hook_of_the_tutorials_does_nothing(tmp_path, own_hook):
    text = own_hook('TutorialHook')
    fix_it(
        write(tmp_path, RETINANET, text + hooks(dict(type='TutorialHook'))),
        problem(
            'custom_hooks[0]',
            f'{EPOCHS} of TutorialHook, which leaves frozen_stages as it is: mmengine '
            'calls model.train() after it, and that freezes again',
            f'plugin.{EPOCHS}',
            f"custom_hooks[0].type='plugin.{EPOCHS}'",
            WARNING,
        ),
    )


def test_one_that_sets_frozen_stages_is_left_alone(tmp_path, own_hook):
    more = '\n            runner.model.backbone.frozen_stages = -1'
    text = own_hook('RightHook', more) + hooks(dict(type='RightHook'))
    assert check(str(write(tmp_path, RETINANET, text))) == []


# What is frozen for good


def test_random_stages_must_not_be_frozen(tmp_path):
    fix_it(
        write(tmp_path, RETINANET, 'model = dict(backbone=dict(init_cfg=None))'),
        problem(
            'model.backbone.frozen_stages',
            '33 parameters frozen for the whole training, with the random values that '
            'nothing replaces',
            '-1, or pretrained weights',
            'model.backbone.frozen_stages=-1; model.backbone.norm_eval=False',
        ),
    )


def test_random_stages_that_a_hook_unfreezes_may_be_frozen(tmp_path):
    text = DET + 'model = dict(backbone=dict(init_cfg=None))\n'
    assert check(str(write(tmp_path, RETINANET, text + hooks(dict(type=EPOCHS))))) == []


def test_random_stages_that_a_hook_freezes_must_not_be(tmp_path):
    text = DET + 'model = dict(backbone=dict(init_cfg=None, frozen_stages=-1))\n'
    hook = dict(type='FreezeBackboneHook', frozen_stages=1)
    config = write(tmp_path, RETINANET, text + hooks(hook))
    (found,) = check(str(config))
    assert found.in_short == 'del custom_hooks[0]'
    fix_it(config, found)


def test_load_from_may_bring_the_frozen_weights(tmp_path):
    url = 'https://download.openmmlab.com/retinanet_r50-1.pth'
    text = f'model = dict(backbone=dict(init_cfg=None))\nload_from = {url!r}'
    assert check(str(write(tmp_path, RETINANET, text))) == []


def test_a_stem_that_a_class_freezes_by_default_is_a_warning(tmp_path):
    base = 'mmpretrain::poolformer/poolformer-s12_32xb128_in1k.py'
    (found,) = check(str(write(tmp_path, base, '')))
    assert (found.severity, found.in_short) == (
        WARNING,
        'model.backbone.frozen_stages=-1',
    )


def test_a_backbone_that_never_trains_is_a_warning(tmp_path):
    text = 'model = dict(backbone=dict(frozen_stages=4))'
    fix_it(
        write(tmp_path, RETINANET, text),
        problem(
            'model.backbone.frozen_stages',
            '159 parameters frozen for the whole training, which is the whole backbone',
            'fewer stages, or a hook that unfreezes them',
            'model.backbone.frozen_stages=1',
            WARNING,
        ),
    )


def test_of_a_trained_detector_it_may_stay_frozen(tmp_path):
    url = 'https://download.openmmlab.com/retinanet_r50-1.pth'
    text = f'model = dict(backbone=dict(frozen_stages=4))\nload_from = {url!r}'
    assert check(str(write(tmp_path, RETINANET, text))) == []


def test_what_does_not_train_has_nothing_to_report(tmp_path):
    text = (
        'model = dict(backbone=dict(init_cfg=None))\n'
        'train_cfg = train_dataloader = optim_wrapper = None'
    )
    assert check(str(write(tmp_path, RETINANET, text))) == []
