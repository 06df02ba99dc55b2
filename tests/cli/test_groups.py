"""``groups``: the optimizer of a config, without its data and its weights."""

import json

import pytest
from click.testing import CliRunner

from plugin.cli import main

pytestmark = pytest.mark.slow

MODEL = """
import torch
from torch import nn

from mmengine.registry import MODELS


class Two(nn.Module):
    def __init__(self, frozen_stages=-1):
        super().__init__()
        self.frozen_stages = frozen_stages
        self.stem = nn.Conv2d(3, 4, 3)
        self.stages = nn.ModuleList([nn.Conv2d(4, 4, 1), nn.Conv2d(4, 8, 3)])
        self.train()

    def train(self, mode=True):
        super().train(mode)
        for part in [self.stem, *self.stages][: self.frozen_stages + 1]:
            part.requires_grad_(False)
        return self


@MODELS.register_module()
class OfTheTest(nn.Module):
    def __init__(self, frozen_stages=-1, loose=False):
        super().__init__()
        self.backbone = Two(frozen_stages)
        self.head = nn.Linear(8, 2)
        if loose:
            self.temperature = nn.Parameter(torch.zeros(3))
"""
CONFIG = """
custom_imports = dict(imports=['of_the_test'], allow_failed_imports=False)
model = dict(type='OfTheTest')
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.5, weight_decay=0.25))
"""
DECAY = """
optim_wrapper.update(
    constructor='plugin.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(decay_rate=0.5),
)
"""
# As mmyolo's, it collects what is called weight and bias.
COLLECTING = """
optim_wrapper.update(constructor='mmyolo.YOLOv5OptimizerConstructor')
optim_wrapper.update(type='OptimWrapper')
model.update(loose=True)
"""


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Runs the command on ``CONFIG`` with these lines after it."""
    (tmp_path / 'of_the_test.py').write_text(MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    def run(more='', *options, of='my.py'):
        (tmp_path / 'my.py').write_text(CONFIG + more)
        return CliRunner().invoke(main, ['groups', of, *options])

    return run


def test_one_group_with_mmengines_constructor(groups):
    result = groups('', '--json')
    assert result.exit_code == 0, result.stderr
    names = [
        f'{module}.{kind}'
        for module in (
            'backbone.stem',
            'backbone.stages.0',
            'backbone.stages.1',
            'head',
        )
        for kind in ('weight', 'bias')
    ]
    # 3*4*9 + 4, 4*4 + 4, 4*8*9 + 8, 8*2 + 2.
    assert json.loads(result.stdout) == [
        dict(
            lr=0.5,
            weight_decay=0.25,
            layer=None,
            tensors=8,
            params=112 + 20 + 296 + 18,
            names=names,
            frozen=False,
        )
    ]


def test_layers_have_their_rates_and_the_keys_of_the_contract(groups):
    result = groups(DECAY, '--json')
    document = json.loads(result.stdout)
    assert [tuple(g) for g in document] == 8 * [
        ('lr', 'weight_decay', 'layer', 'tensors', 'params', 'names', 'frozen')
    ]
    assert [
        (g['layer'], g['lr'], g['weight_decay'], g['params']) for g in document
    ] == [
        (0, 0.0625, 0.0, 4),
        (0, 0.0625, 0.25, 108),
        (1, 0.125, 0.0, 4),
        (1, 0.125, 0.25, 16),
        (2, 0.25, 0.0, 8),
        (2, 0.25, 0.25, 288),
        (3, 0.5, 0.0, 2),
        (3, 0.5, 0.25, 16),
    ]


def test_the_table_goes_by_layer_and_marks_what_is_frozen(groups):
    result = groups(DECAY + 'model.update(frozen_stages=1)\n')
    assert result.stdout.splitlines() == [
        'my.py',
        'AdamW in OptimWrapper, by plugin.LayerDecayOptimWrapperConstructor, 8 groups',
        'LayerDecayOptimWrapperConstructor: layer_wise, decay_rate=0.5',
        'backbone (Two): 2 layers, from its stages',
        'layer 0 is the stem, 3 the head',
        '             weight',
        'layer     lr  decay tensors parameters frozen in',
        '    0 0.0625      0       1          4    yes backbone.stem',
        '    0 0.0625   0.25       1        108    yes backbone.stem',
        '    1  0.125      0       1          4    yes backbone.stages.0',
        '    1  0.125   0.25       1         16    yes backbone.stages.0',
        '    2   0.25      0       1          8        backbone.stages.1',
        '    2   0.25   0.25       1        288        backbone.stages.1',
        '    3    0.5      0       1          2        head',
        '    3    0.5   0.25       1         16        head',
        '  all                     8        446',
    ]


def test_a_hook_freezes_as_training_begins_and_is_explained(groups):
    hook = (
        "custom_hooks = [dict(type='plugin.FreezeBackboneHook', frozen_stages=0), "
        "dict(type='no.such.Hook')]\n"
    )
    result = groups(DECAY + hook, '--json')
    document = json.loads(result.stdout)
    assert [g['names'] for g in document if g['frozen']] == [
        ['backbone.stem.bias'],
        ['backbone.stem.weight'],
    ]
    shown = groups(DECAY + hook).stdout
    assert (
        'FreezeBackboneHook: backbone (Two): frozen_stages=0 freezes 2 tensors, '
        '0.00 M\nparameters (stem)\n'
    ) in shown


def test_a_hook_is_found_by_its_plain_name_in_the_scope_of_the_config(
    groups, repo_root
):
    name = 'faster-rcnn_r50_fpn_8xb2-unfreeze-12e_coco.py'
    result = groups(of=str(repo_root / 'configs/det' / name))
    assert result.exit_code == 0, result.stderr
    printed = ' '.join(result.stdout.split())
    assert (
        'UnfreezeBackboneEpochBasedHook: backbone (ResNet): frozen_stages=-1 after 1 '
        'epoch' in printed
    )


def test_parameters_in_no_group_are_reported(groups):
    result = groups(COLLECTING)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.endswith(
        'in no group and not frozen, so that nothing ever trains: 1 tensor, 3 '
        'parameters:\ntemperature\n'
    )


def test_json_tells_of_them_on_standard_error_only(groups):
    result = groups(COLLECTING, '--json')
    found = json.loads(result.stdout)
    assert 'temperature' not in [name for group in found for name in group['names']]
    assert 'in no group and not frozen' in result.stderr


def test_what_a_constructor_leaves_out_as_frozen_is_listed_apart(groups):
    paramwise = 'optim_wrapper.update(paramwise_cfg=dict(bias_lr_mult=2.0))\n'
    result = groups(paramwise + 'model.update(frozen_stages=0)\n')
    assert result.stdout.splitlines()[1:] == [
        'AdamW in OptimWrapper, by DefaultOptimWrapperConstructor, 6 groups',
        '     weight',
        ' lr   decay  tensors  parameters  in',
        '0.5    0.25        3         320  backbone.stages, head',
        '  1    0.25        3          14  backbone.stages, head',
        '                   6         334  all',
        'in no group, and frozen: 2 tensors, 112 parameters: backbone.stem.weight,',
        'backbone.stem.bias',
    ]


def test_mixed_precision_needs_no_gpu_here(groups):
    amp = (
        "optim_wrapper.update(type='AmpOptimWrapper', loss_scale=dict(init_scale=1))\n"
    )
    result = groups(amp)
    assert result.exit_code == 0, result.stderr
    assert 'AdamW in AmpOptimWrapper, by ' in result.stdout


def test_a_config_of_an_installed_package_goes_by_its_name(groups):
    result = groups(of='mmdet::retinanet/retinanet_r50_fpn_1x_coco.py')
    assert result.exit_code == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[1].startswith('SGD in OptimWrapper, by DefaultOptimWrapperConstr')
    # RetinaNet with ResNet-50 as it is known; the stem and the first stage stand still.
    assert lines[4].split()[2:4] == ['162', '37,743,348']
    assert lines[5].split()[2:5] == ['33', '225,344', 'yes']


@pytest.mark.parametrize(
    ('config', 'constructor', 'layers', 'params'),
    [
        # stage_wise with num_layers=6 in a scheme of 4 stages: 5 and 6 don't occur.
        (
            'mmseg::convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py',
            'LearningRateDecayOptimizerConstructor',
            {0, 1, 2, 3, 4, 7},
            60_242_636,
        ),
        (
            'mmpretrain::beit/benchmarks/beit-base-p16_8xb128-coslr-100e_in1k.py',
            'LearningRateDecayOptimWrapperConstructor',
            set(range(14)),
            86_530_984,
        ),
        (
            'mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py',
            'YOLOv5OptimizerConstructor',
            {None},
            7_235_389,
        ),
    ],
)
def test_each_librarys_own_constructor_is_read(
    groups, config, constructor, layers, params
):
    shown = groups(of=config)
    assert shown.exit_code == 0, shown.stderr
    assert constructor in shown.stdout.replace('\n', ' ')
    assert max(len(line) for line in shown.stdout.splitlines()) <= 80
    document = json.loads(groups('', '--json', of=config).stdout)
    assert {group['layer'] for group in document} == layers
    assert sum(group['params'] for group in document) == params


@pytest.mark.parametrize(
    ('more', 'message'),
    [
        (
            'del optim_wrapper\n',
            'my.py has no optim_wrapper; write optim_wrapper=dict(',
        ),
        ('optim_wrapper = 3\n', 'my.py: optim_wrapper is 3; write '),
        (
            "optim_wrapper['optimizer'] = None\n",
            'optim_wrapper.optimizer=None must be a dict with a type, such as dict(',
        ),
        ('del model\n', 'my.py has no model'),
        (
            "model['frozen'] = 1\n",
            'the model of my.py does not build: TypeError: OfTheTest.__init__() got an '
            "unexpected keyword argument 'frozen'; `python -m plugin check my.py`",
        ),
        (
            "optim_wrapper['optimizer']['type'] = 'AdamWW'\n",
            "optim_wrapper.optimizer.type='AdamWW' is not registered; did you mean Ad",
        ),
        (
            "optim_wrapper['optimizer']['weight_deacy'] = 0\n",
            "optim_wrapper.optimizer has the key 'weight_deacy', which AdamW does not "
            'take; did you mean weight_decay?',
        ),
        (
            "optim_wrapper['type'] = 'AmpOptimWraper'\n",
            "optim_wrapper.type='AmpOptimWraper' is not registered; did you mean Amp",
        ),
        (
            "optim_wrapper['clip_gard'] = dict(max_norm=1)\n",
            "optim_wrapper has the key 'clip_gard', which OptimWrapper does not take; "
            'did you mean clip_grad?',
        ),
        (
            "optim_wrapper.update(type='AmpOptimWrapper', los_scale=1.0)\n",
            "optim_wrapper has the key 'los_scale', which AmpOptimWrapper does not "
            'take; did you mean loss_scale?',
        ),
        (
            "optim_wrapper['constructor'] = 'LayerDecayOptimWrapper'\n",
            "optim_wrapper.constructor='LayerDecayOptimWrapper' is not registered",
        ),
        (
            "optim_wrapper['paramwise_cfg'] = dict(decay_rate=0.5)\n",
            "optim_wrapper: paramwise_cfg has the key 'decay_rate', which "
            'DefaultOptimWrapperConstructor does not know',
        ),
        (
            DECAY + "optim_wrapper['paramwise_cfg']['decay_rate'] = 1.5\n",
            'optim_wrapper: decay_rate=1.5 must be a number above 0 and up to 1',
        ),
        (
            DECAY + "optim_wrapper['paramwise_cfg']['decay_tpye'] = 'layer_wise'\n",
            "optim_wrapper: paramwise_cfg has the key 'decay_tpye', which ",
        ),
        (
            "optim_wrapper.update(constructor='mmdet.LearningRateDecayOptimizer"
            "Constructor', paramwise_cfg=dict(decay_rate=0.5, num_layers=6))\n",
            "optim_wrapper.constructor='mmdet.LearningRateDecayOptimizerConstructor' "
            'knows the layers of few backbones, and not of this one; write '
            "constructor='plugin.LayerDecayOptimWrapperConstructor'",
        ),
        (
            "custom_hooks = [dict(type='plugin.FreezeBackboneHook', frozen_stage=1)]\n",
            "custom_hooks[0] has the key 'frozen_stage', which FreezeBackboneHook does "
            'not take; did you mean frozen_stages?',
        ),
        (
            "custom_hooks = [dict(type='plugin.UnfreezeBackboneIterBasedHook')]\n",
            'custom_hooks[0]: unfreeze_iter=None and milestones=None: write ',
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_the_key(groups, more, message):
    result = groups(more)
    assert result.exit_code == 1, result.output
    assert result.stdout == ''
    last = result.stderr.splitlines()[-1]
    assert last.startswith(f'Error: {message}'), last
    assert 'Traceback' not in result.stderr


def test_a_missing_file_is_status_2(groups):
    result = groups(of='no.py')
    assert result.exit_code == 2
    assert result.stderr == 'Error: no.py: No such file\n'
