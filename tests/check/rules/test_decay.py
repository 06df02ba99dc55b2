"""Layer decay: keys, constructors that read them, and the layers of the backbone."""

import pytest
from one_problem import CLS, DET, RETINANET, SEG, UPERNET, YOLO, Reported, fix_it, write

from plugin.check import check
from plugin.config.problem import ERROR, WARNING

pytestmark = pytest.mark.slow

OURS = 'LayerDecayOptimWrapperConstructor'
MMDET = 'LearningRateDecayOptimizerConstructor'
YOLOV5 = 'mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py'
KEY = 'optim_wrapper.constructor'
CFG = 'optim_wrapper.paramwise_cfg'
ARCH = dict(depths=[1, 1, 3, 1], channels=[8, 16, 24, 32])
CONVNEXT = (
    f"model = dict(backbone=dict(_delete_=True, type='plugin.ConvNeXt', arch={ARCH}, "
    'out_indices=[0, 1, 2, 3]), neck=dict(in_channels=[8, 16, 24, 32]))\n'
)


def problem(key, found, expected, fix, severity=ERROR):
    return Reported(key, 'decay', severity, found, expected, fix)


def wrapper(constructor=None, optimizer=None, **paramwise):
    own = dict(paramwise_cfg=paramwise)
    if constructor:
        own['constructor'] = constructor
    if optimizer:
        own['optimizer'] = optimizer
    return f'optim_wrapper = {own!r}\n'


def retinanet(folder, *args, backbone=CONVNEXT, imports=DET, **paramwise):
    return write(folder, RETINANET, imports + backbone + wrapper(*args, **paramwise))


# Ours


def test_ours_with_a_rate_is_no_problem(tmp_path):
    assert check(str(retinanet(tmp_path, OURS, decay_rate=0.9))) == []


def test_keys_that_mmengine_s_constructor_ignores_need_ours(tmp_path):
    fixed = fix_it(
        retinanet(tmp_path, decay_rate=0.9, decay_type='stage_wise'),
        problem(
            KEY,
            'DefaultOptimWrapperConstructor, which ignores decay_rate and decay_type '
            'in paramwise_cfg',
            OURS,
            f"{KEY}='{OURS}'",
        ),
    )
    assert fixed.optim_wrapper.constructor == OURS


def test_without_our_import_it_is_named_with_its_scope(tmp_path):
    config = retinanet(tmp_path, imports='', decay_rate=0.9)
    (found,) = check(str(config))
    assert found.in_short == f"{KEY}='plugin.{OURS}'"
    fix_it(config, found)


def test_what_ours_would_refuse_is_fixed_with_it(tmp_path):
    config = retinanet(tmp_path, num_layers=12, layer_decay_rates=1.5)
    (found,) = check(str(config))
    assert found.in_short == (
        f"{KEY}='{OURS}'; del {CFG}.layer_decay_rates; {CFG}.layer_decay_rate=1.5; "
        f'{CFG}.num_layers=6'
    )


@pytest.mark.parametrize('rate', [0, 1.1, -0.5, 95, True, '0.9'])
def test_a_rate_out_of_range_is_reported(tmp_path, rate):
    fix_it(
        retinanet(tmp_path, OURS, decay_rate=rate),
        problem(
            f'{CFG}.decay_rate',
            repr(rate),
            'a number above 0 and up to 1, such as 0.9',
            f'{CFG}.decay_rate=0.9',
        ),
    )


def test_a_rate_is_needed(tmp_path):
    fix_it(
        retinanet(tmp_path, OURS, decay_type='layer_wise'),
        problem(
            f'{CFG}.decay_rate',
            'nothing',
            'a number above 0 and up to 1, such as 0.9',
            f'{CFG}.decay_rate=0.9',
        ),
    )


def test_two_rates_that_differ_are_one_too_many(tmp_path):
    assert (
        check(str(retinanet(tmp_path, OURS, decay_rate=0.9, layer_decay_rate=0.9)))
        == []
    )
    fix_it(
        retinanet(tmp_path, OURS, decay_rate=0.9, layer_decay_rate=0.8),
        problem(
            f'{CFG}.layer_decay_rate',
            '0.8, and decay_rate=0.9',
            'one of them',
            f'del {CFG}.layer_decay_rate',
        ),
    )


def test_a_type_of_decay_that_there_is_not_is_reported(tmp_path):
    fix_it(
        retinanet(tmp_path, OURS, decay_rate=0.9, decay_type='stages'),
        problem(
            f'{CFG}.decay_type',
            "'stages'",
            'layer_wise or stage_wise',
            f"{CFG}.decay_type='stage_wise'",
        ),
    )


def test_a_misspelt_key_is_renamed(tmp_path):
    fix_it(
        retinanet(tmp_path, OURS, decay_rate=0.9, norm_decay_mults=0.0),
        problem(
            f'{CFG}.norm_decay_mults',
            'norm_decay_mults',
            'norm_decay_mult',
            f'del {CFG}.norm_decay_mults; {CFG}.norm_decay_mult=0.0',
        ),
    )


def test_a_misspelt_rate_is_renamed_and_not_missed(tmp_path):
    fix_it(
        retinanet(tmp_path, OURS, decay_rates=0.8),
        problem(
            f'{CFG}.decay_rates',
            'decay_rates',
            'decay_rate',
            f'del {CFG}.decay_rates; {CFG}.decay_rate=0.8',
        ),
    )


def test_another_number_of_layers_is_reported(tmp_path):
    fix_it(
        retinanet(tmp_path, OURS, decay_rate=0.9, num_layers=12),
        problem(
            f'{CFG}.num_layers',
            '12, but ConvNeXt has 6 layers',
            '6',
            f'{CFG}.num_layers=6',
        ),
    )


def test_layers_that_are_not_known_end_the_decay(tmp_path, monkeypatch):
    (tmp_path / 'odd_net.py').write_text(
        'from torch import nn\n'
        'from plugin.registry import MODELS\n'
        'class OddNet(nn.Module):\n'
        '    def __init__(self):\n'
        '        super().__init__()\n'
        '        self.net = nn.ModuleDict({c: nn.Conv2d(i, o, 3, s, 1) for c, i, o, s '
        'in [("a", 3, 8, 4), ("b", 8, 16, 2), ("c", 16, 24, 2), ("d", 24, 32, 2)]})\n'
        '    def forward(self, x):\n'
        '        maps = []\n'
        '        for name in "abcd":\n'
        '            x = self.net[name](x)\n'
        '            maps.append(x)\n'
        '        return tuple(maps)\n'
        "MODELS.register_module(name='OddNet', module=OddNet, force=True)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    imports = DET.replace("'plugin.det'", "'plugin.det', 'odd_net'")
    backbone = (
        "model = dict(backbone=dict(_delete_=True, type='plugin.OddNet'), "
        'neck=dict(in_channels=[8, 16, 24, 32]))\n'
    )
    config = retinanet(
        tmp_path, OURS, backbone=backbone, imports=imports, decay_rate=0.9
    )
    (found,) = check(str(config))
    assert found.key == KEY
    assert found.found.startswith('the layers of 8 of the 8 parameters of OddNet are')
    assert found.in_short == (
        f"{KEY}='DefaultOptimWrapperConstructor'; del {CFG}.decay_rate"
    )
    fix_it(config, found)


# mmdet's and mmseg's


def test_mmdet_s_constructor_stops_at_another_backbone(tmp_path):
    fixed = fix_it(
        retinanet(tmp_path, MMDET, backbone='', decay_rate=0.9, num_layers=6),
        problem(
            KEY,
            f'{MMDET} of mmdet, which knows ConvNeXt and stops at ResNet',
            f'{OURS}, which finds the layers of any backbone',
            f"{KEY}='{OURS}'; {CFG}.num_layers=16",
        ),
    )
    assert fixed.optim_wrapper.paramwise_cfg.num_layers == 16


def test_mmdet_s_constructor_reads_our_convnext(tmp_path):
    assert check(str(retinanet(tmp_path, MMDET, decay_rate=0.9, num_layers=6))) == []


@pytest.mark.parametrize('given', [3, 12, None])
def test_mmdet_s_constructor_needs_the_number_of_layers(tmp_path, given):
    paramwise = dict(decay_rate=0.9)
    if given:
        paramwise['num_layers'] = given
    fix_it(
        retinanet(tmp_path, MMDET, **paramwise),
        problem(
            f'{CFG}.num_layers',
            f'{given}, but ConvNeXt has 6 layers',
            '6',
            f'{CFG}.num_layers=6',
        ),
    )


def test_mmdet_s_constructor_does_not_read_mmpretrain_s_key(tmp_path):
    fix_it(
        retinanet(tmp_path, MMDET, layer_decay_rate=0.8, num_layers=6),
        problem(
            f'{CFG}.layer_decay_rate',
            f'layer_decay_rate, which {MMDET} does not read',
            'decay_rate',
            f'{CFG}.decay_rate=0.8; del {CFG}.layer_decay_rate',
        ),
    )


def test_mmdet_s_constructor_finds_no_layers_behind_other_names(tmp_path, monkeypatch):
    (tmp_path / 'wrapped.py').write_text(
        'from mmengine.registry import MODELS as ROOT\n'
        'from torch import nn\n'
        'from plugin.registry import MODELS\n'
        'class ConvNeXtWrapper(nn.Module):\n'
        '    def __init__(self, inner):\n'
        '        super().__init__()\n'
        '        self.inner = ROOT.build(inner)\n'
        '    def forward(self, x):\n'
        '        return self.inner(x)\n'
        "MODELS.register_module(name='ConvNeXtWrapper', module=ConvNeXtWrapper, "
        'force=True)\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    inner = dict(type='plugin.ConvNeXt', arch=ARCH, out_indices=[0, 1, 2, 3])
    backbone = (
        "model = dict(backbone=dict(_delete_=True, type='plugin.ConvNeXtWrapper', "
        f'inner={inner!r}), neck=dict(in_channels=[8, 16, 24, 32]))\n'
    )
    imports = DET.replace("'plugin.det'", "'plugin.det', 'wrapped'")
    (found,) = check(
        str(
            retinanet(
                tmp_path,
                MMDET,
                backbone=backbone,
                imports=imports,
                decay_rate=0.9,
                num_layers=6,
            )
        )
    )
    assert found.key == KEY
    assert found.found == f'{MMDET} of mmdet, which finds no layers in ConvNeXtWrapper'


def test_mmseg_s_constructor_knows_no_stages_of_a_beit(tmp_path):
    base = 'mmseg::beit/beit-base_upernet_8xb2-160k_ade20k-640x640.py'
    text = f'{SEG}model = dict(pretrained=None)\noptim_wrapper = dict(constructor='
    own = dict(_delete_=True, decay_rate=0.9, num_layers=12)
    as_layers = write(tmp_path, base, f"{text}'{MMDET}', paramwise_cfg={own!r})")
    assert check(str(as_layers)) == []
    own['decay_type'] = 'stage_wise'
    (found,) = check(
        str(write(tmp_path, base, f"{text}'{MMDET}', paramwise_cfg={own!r})"))
    )
    assert found.found == (
        f'{MMDET} of mmseg, which knows ConvNeXt, BEiT, MAE and stops at BEiT'
    )


# mmpretrain's


MMPRETRAIN = 'LearningRateDecayOptimWrapperConstructor'
CLASSIFIER = 'mmpretrain::convnext/convnext-tiny_32xb128_in1k.py'


def classifier(folder, **paramwise):
    own = dict(constructor=MMPRETRAIN, paramwise_cfg=dict(_delete_=True, **paramwise))
    return write(folder, CLASSIFIER, f'{CLS}optim_wrapper = {own!r}')


def test_mmpretrain_s_constructor_reads_one_key_only(tmp_path):
    assert check(str(classifier(tmp_path, layer_decay_rate=0.8))) == []
    fix_it(
        classifier(tmp_path, decay_rate=0.8),
        problem(
            f'{CFG}.decay_rate',
            f'decay_rate, which {MMPRETRAIN} does not read',
            'layer_decay_rate',
            f'{CFG}.layer_decay_rate=0.8; del {CFG}.decay_rate',
        ),
    )


def test_mmpretrain_s_constructor_counts_layers_itself(tmp_path):
    fix_it(
        classifier(tmp_path, layer_decay_rate=0.8, num_layers=12),
        problem(
            f'{CFG}.num_layers',
            f'12, which {MMPRETRAIN} does not read',
            'nothing',
            f'del {CFG}.num_layers',
        ),
    )


def test_mmpretrain_s_constructor_asks_a_detector_in_vain(tmp_path):
    config = retinanet(tmp_path, f'mmpretrain.{MMPRETRAIN}', layer_decay_rate=0.8)
    fix_it(
        config,
        problem(
            KEY,
            f'{MMPRETRAIN}, but RetinaNet has no get_layer_depth, which it asks for',
            f'{OURS}, which finds the layers of any backbone',
            f"{KEY}='{OURS}'",
        ),
    )


def test_mmpretrain_s_constructor_gets_no_depth_of_some_backbones(tmp_path):
    base = 'mmpretrain::regnet/regnetx-400mf_8xb128_in1k.py'
    own = dict(constructor=MMPRETRAIN, paramwise_cfg=dict(layer_decay_rate=0.9))
    config = write(tmp_path, base, f'{CLS}optim_wrapper = {own!r}')
    (found,) = check(str(config))
    assert found.key == KEY
    assert found.found.startswith(f'{MMPRETRAIN}, which gets no depth of backbone.')
    fix_it(config, found)


# YOLOv5's


def yolov5(folder, more='', optim=''):
    return write(
        folder,
        YOLOV5,
        f"{YOLO}model = dict(backbone=dict(_delete_=True, type='plugin.ConvNeXt', "
        f'arch={ARCH}, out_indices=[1, 2, 3]), neck=dict(in_channels=[16, 24, 32], '
        'out_channels=[16, 24, 32], widen_factor=1.0), bbox_head=dict(head_module=dict('
        f'in_channels=[16, 24, 32], widen_factor=1.0)))\n{optim}{more}',
    )


def test_yolov5_s_constructor_leaves_out_the_layer_scale(tmp_path):
    fixed = fix_it(
        yolov5(tmp_path),
        problem(
            KEY,
            'YOLOv5OptimizerConstructor, which takes what is named weight or bias, and '
            'leaves 6 parameters untrained: backbone.stages.0.0.gamma, ...',
            'a constructor that takes all parameters',
            f"{KEY}='DefaultOptimWrapperConstructor'; "
            'del optim_wrapper.optimizer.batch_size_per_gpu; '
            'default_hooks.param_scheduler.warmup_bias_lr=0.0',
        ),
    )
    assert fixed.default_hooks.param_scheduler.warmup_bias_lr == 0


def test_yolov5_s_constructor_ignores_decay(tmp_path):
    optim = wrapper(base_total_batch_size=64, decay_rate=0.9)
    fix_it(
        yolov5(tmp_path, optim=optim),
        problem(
            KEY,
            'YOLOv5OptimizerConstructor, which ignores decay_rate in paramwise_cfg',
            OURS,
            f"{KEY}='{OURS}'; del {CFG}.base_total_batch_size; "
            'del optim_wrapper.optimizer.batch_size_per_gpu; '
            'default_hooks.param_scheduler.warmup_bias_lr=0.0',
        ),
    )


def test_yolov5_s_schedule_warms_a_group_of_ours_up_as_if_it_were_the_biases(tmp_path):
    optim = wrapper(OURS, dict(_delete_=True, type='AdamW', lr=1e-4), decay_rate=0.9)
    fix_it(
        yolov5(tmp_path, optim=optim),
        problem(
            'default_hooks.param_scheduler',
            'YOLOv5ParamSchedulerHook, which takes the third parameter group for the '
            f'biases; {OURS} makes other groups',
            'warmup_bias_lr=0.0, which warms it up as the others',
            'default_hooks.param_scheduler.warmup_bias_lr=0.0',
        ),
    )


def test_so_it_does_with_those_of_mmengine(tmp_path):
    optim = wrapper(
        'DefaultOptimWrapperConstructor',
        dict(_delete_=True, type='AdamW', lr=1e-4),
        norm_decay_mult=0.0,
    )
    optim = optim.replace("{'norm", "{'_delete_': True, 'norm")
    (found,) = check(str(yolov5(tmp_path, optim=optim)))
    assert (found.key, found.severity) == ('default_hooks.param_scheduler', WARNING)


def test_yolov5_s_constructor_needs_its_own_key(tmp_path):
    config = write(tmp_path, YOLOV5, wrapper(norm_decay_mult=0.0))
    fix_it(
        config,
        problem(
            f'{CFG}.base_total_batch_size',
            'nothing',
            'a number: YOLOv5OptimizerConstructor needs it',
            f'{CFG}.base_total_batch_size=64',
        ),
    )


def test_yolov6_m_is_as_mmyolo_has_trained_it(tmp_path):
    base = 'mmyolo::yolov6/yolov6_m_syncbn_fast_8xb32-300e_coco.py'
    (found,) = check(str(write(tmp_path, base, '')))
    assert (found.key, found.severity) == (KEY, WARNING)


def test_yolov7_s_constructor_takes_its_implicit_knowledge(tmp_path):
    base = 'mmyolo::yolov7/yolov7_tiny_syncbn_fast_8x16b-300e_coco.py'
    assert check(str(write(tmp_path, base, ''))) == []


def test_several_optimizers_are_left_alone(tmp_path):
    text = (
        'optim_wrapper = dict(_delete_=True, constructor=None, '
        'a=dict(optimizer=dict(type="SGD", lr=0.1)), num_layers=12)'
    )
    found = check(str(write(tmp_path, UPERNET, text)))
    assert [p for p in found if p.kind == 'decay'] == []
