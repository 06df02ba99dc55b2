"""Arguments that a class does not take, lacks or refuses."""

import pytest
from mmdet.models.data_preprocessors import data_preprocessor
from mmengine.config import Config
from one_problem import DET, RETINANET, Reported, fix_it, reported, write

from plugin.check import check
from plugin.config.problem import ERROR

pytestmark = pytest.mark.slow

FASTER = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
YOLOV5 = 'mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py'
PIPELINE = 'train_dataloader.dataset.pipeline'


def argument(key, found, expected, fix):
    return Reported(key, 'argument', ERROR, found, expected, fix)


def one(tmp_path, base, text):
    """Return the only problem, which its fix corrects."""
    path = write(tmp_path, base, text)
    (problem,) = check(str(path))
    assert problem.kind == 'argument'
    fix_it(path, problem)
    return problem


def test_a_typing_error_is_renamed_with_its_value(tmp_path):
    text = 'model = dict(backbone=dict(_delete_=True, type="ResNet", depht=50))'
    fix_it(
        write(tmp_path, RETINANET, text),
        argument(
            'model.backbone.depht',
            'depht=50',
            ['depth'],
            'del model.backbone.depht; model.backbone.depth=50',
        ),
    )


def test_a_name_that_is_like_none_is_taken_out(tmp_path):
    problem = one(tmp_path, RETINANET, 'model = dict(neck=dict(zzz=1))')
    assert problem.in_short == 'del model.neck.zzz'
    assert problem.expected[:2] == ['in_channels', 'out_channels']


@pytest.mark.parametrize(
    ('text', 'fix'),
    [
        (
            'model = dict(bbox_head=dict(loss_cls=dict(use_sigmod=True)))',
            'del model.bbox_head.loss_cls.use_sigmod',
        ),
        (
            'model = dict(bbox_head=dict(anchor_generator=dict(ratio=[1.0])))',
            'del model.bbox_head.anchor_generator.ratio',
        ),
        (
            "custom_hooks = [dict(type='EMAHook', momentum=0.1, priority=49), "
            "dict(type='NumClassCheckHook', a=1)]",
            'del custom_hooks[1].a',
        ),
        (
            'optim_wrapper = dict(optimizer=dict(momentums=0.9))',
            'del optim_wrapper.optimizer.momentums',
        ),
        (
            'optim_wrapper = dict(clip_grads=dict(max_norm=1))',
            "del optim_wrapper.clip_grads; optim_wrapper.clip_grad={'max_norm': 1}",
        ),
        (
            "param_scheduler = [dict(type='MultiStepLR', milestone=[8], end=9)]",
            'del param_scheduler[0].milestone; param_scheduler[0].milestones=[8]',
        ),
        (
            "train_cfg = dict(type='EpochBasedTrainLoop', max_epoch=12)",
            'del train_cfg.max_epoch',
        ),
        (
            f'{PIPELINE.split(".")[0]} = dict(dataset=dict(pipeline=['
            "dict(type='LoadImageFromFile'), "
            "dict(type='LoadAnnotations', with_boxes=True), "
            "dict(type='Resize', scale=(8, 8)), dict(type='PackDetInputs')]))",
            f'del {PIPELINE}[1].with_boxes; {PIPELINE}[1].with_bbox=True',
        ),
        (
            'val_dataloader = dict(dataset=dict(data_rot="data"))',
            'del val_dataloader.dataset.data_rot',
        ),
    ],
)
def test_any_part_of_the_config_is_compared(tmp_path, text, fix):
    assert one(tmp_path, RETINANET, text).in_short == fix


def test_the_name_goes_on_through_the_keyword_arguments_of_parents(tmp_path):
    """RetinaHead passes what it does not know to AnchorHead."""
    text = 'model = dict(bbox_head=dict(reg_decoded_box=True))'
    problem = one(tmp_path, RETINANET, text)
    assert problem.expected == ['reg_decoded_bbox']


def test_several_in_one_part_are_each_reported(tmp_path):
    text = 'model = dict(backbone=dict(aaa=1, bbb=2), neck=dict(ccc=3))'
    problems = check(str(write(tmp_path, RETINANET, text)))
    assert [p.key for p in problems] == [
        'model.backbone.aaa',
        'model.backbone.bbb',
        'model.neck.ccc',
    ]


def test_what_an_optimizer_constructor_takes_out_is_no_mistake(tmp_path):
    """mmyolo's YOLOv5OptimizerConstructor takes batch_size_per_gpu."""
    text = 'optim_wrapper = dict(optimizer=dict(batch_size_per_gpu=7))'
    assert check(str(write(tmp_path, YOLOV5, text))) == []
    text += '\noptim_wrapper.update(constructor="DefaultOptimWrapperConstructor")'
    problems = check(str(write(tmp_path, YOLOV5, text)))
    assert [p.key for p in problems] == ['optim_wrapper.optimizer.batch_size_per_gpu']


def test_a_required_argument_of_a_transform_is_missed(tmp_path):
    text = (
        'train_dataloader = dict(dataset=dict(pipeline=['
        "dict(type='LoadImageFromFile'), dict(type='Pad'), dict(type='RandomCrop'), "
        "dict(type='PackDetInputs')]))"
    )
    problems = check(str(write(tmp_path, RETINANET, text)))
    assert argument(
        f'{PIPELINE}[2].crop_size',
        'nothing',
        'RandomCrop needs crop_size',
        f'{PIPELINE}[2].crop_size=...',
    ) in map(reported, problems)


def test_a_required_argument_of_the_backbone_is_missed(tmp_path):
    text = 'model = dict(backbone=dict(_delete_=True, type="ResNet"))'
    (problem,) = check(str(write(tmp_path, RETINANET, text)))
    assert reported(problem) == argument(
        'model.backbone.depth',
        'nothing',
        'ResNet needs depth',
        'model.backbone.depth=...',
    )


# Values that a constructor refuses


def test_a_value_gets_the_nearest_of_the_table_that_the_class_has(tmp_path):
    fix_it(
        write(tmp_path, RETINANET, 'model = dict(backbone=dict(depth=51))'),
        argument(
            'model.backbone.depth',
            'depth=51: invalid depth 51 for resnet',
            [50, 34, 18],
            'model.backbone.depth=50',
        ),
    )


def test_an_arch_gets_the_nearest_name(tmp_path):
    text = (
        "model = dict(backbone=dict(_delete_=True, type='plugin.ConvNeXt', "
        "arch='tinny'), neck=dict(in_channels=[96, 192, 384, 768]))"
    )
    assert one(tmp_path, RETINANET, text).in_short == "model.backbone.arch='tiny'"


def test_stages_that_are_not_there_are_reported_by_our_own_message(tmp_path):
    text = (
        "model = dict(backbone=dict(_delete_=True, type='plugin.ConvNeXt', "
        "arch='tiny', out_indices=(1, 0, 2, 3)), "
        'neck=dict(in_channels=[96, 192, 384, 768]))'
    )
    problem = one(tmp_path, RETINANET, text)
    assert problem.in_short == 'model.backbone.out_indices=[0, 1, 2, 3]'


@pytest.mark.parametrize(
    ('backbone', 'taken'),
    [
        (
            'depth=18, init_cfg=None, frozen_stages=-1, out_indices=(1, 2, 3, 4)',
            [0, 1, 2, 3],
        ),
        (
            'depth=18, init_cfg=None, frozen_stages=-1, out_indices=(0, 1, 2, 3, 4)',
            [0, 1, 2, 3],
        ),
        (
            "_delete_=True, type='plugin.TIMMBackbone', model_name='resnet18', "
            'out_indices=(2, 3, 4, 5)',
            [1, 2, 3, 4],
        ),
    ],
)
def test_indices_that_are_too_deep_are_counted_from_a_lower_stage(
    tmp_path, backbone, taken
):
    text = (
        f'{DET}model = dict(backbone=dict({backbone}), '
        f'neck=dict(in_channels=[64, 128, 256, 512]))'
    )
    (problem,) = check(str(write(tmp_path, RETINANET, text)))
    assert (problem.key, problem.expected) == ('model.backbone.out_indices', taken)
    assert problem.in_short == f'model.backbone.out_indices={taken}'


def test_a_hook_that_refuses_a_value_is_reported(tmp_path):
    text = "custom_hooks = [dict(type='EMAHook', begin_epoch=-3)]"
    (problem,) = check(str(write(tmp_path, FASTER, text)))
    assert problem.key == 'custom_hooks[0].begin_epoch'
    assert problem.found.startswith('begin_epoch=-3: ')


def test_a_learning_rate_below_zero_is_reported(tmp_path):
    text = 'optim_wrapper = dict(optimizer=dict(lr=-0.01))'
    path = write(tmp_path, RETINANET, text)
    (problem,) = check(str(path))
    assert problem.key == 'optim_wrapper.optimizer.lr'
    assert problem.found == 'lr=-0.01: Invalid learning rate: -0.01'


def test_a_schedule_that_ends_before_it_begins_is_reported(tmp_path):
    text = "param_scheduler = [dict(type='LinearLR', start_factor=0.1, begin=5, end=2)]"
    (problem,) = check(str(write(tmp_path, RETINANET, text)))
    assert problem.key.startswith('param_scheduler[0].')
    assert 'end should be larger than begin' in problem.found


def test_a_mistake_does_not_hide_those_behind_it(tmp_path):
    text = (
        'model = dict(type="RetinaNett", backbone=dict(depth=19, init_cfg=None, '
        'frozen_stages=-1, zzz=1), '
        'neck=dict(num_out=5))\noptim_wrapper = dict(optimizer=dict(lr=-1))'
    )
    problems = check(str(write(tmp_path, RETINANET, text)))
    assert [(p.kind, p.key) for p in problems] == [
        ('registry', 'model.type'),
        ('argument', 'model.backbone.zzz'),
        ('argument', 'model.neck.num_out'),
        ('argument', 'optim_wrapper.optimizer.lr'),
        ('argument', 'model.backbone.depth'),
        ('channels', 'model.neck.in_channels'),
    ]
    assert problems[-1].expected == [64, 128, 256, 512]


def test_parts_that_a_class_looks_up_in_another_library_get_their_scope(tmp_path):
    """mmyolo's YOLOv6EfficientRep looks up its RepVGGBlock where the detector does."""
    text = (
        "model = dict(backbone=dict(_delete_=True, type='mmyolo.YOLOv6EfficientRep', "
        "act_cfg=dict(type='ReLU')), neck=dict(in_channels=[256, 512, 1024], "
        'start_level=0))'
    )
    path = write(tmp_path, RETINANET, text)
    (problem,) = check(str(path))
    assert problem.kind == 'registry'
    assert problem.in_short == "model.backbone._scope_='mmyolo'"
    assert Config.fromfile(str(path)).model.backbone.type == 'mmyolo.YOLOv6EfficientRep'
    fix_it(path, problem)


def test_a_package_that_a_class_asks_for_is_to_be_installed(tmp_path, monkeypatch):
    # Where mmdet 3.3.0 keeps the package, or None if it is not there.
    monkeypatch.setattr(data_preprocessor, 'skimage', None)
    base = 'mmdet::boxinst/boxinst_r50_fpn_ms-90k_coco.py'
    problems = check(str(write(tmp_path, base, '')))
    assert ('import', '$ pip install scikit-image') in [
        (p.kind, p.in_short) for p in problems
    ]


def test_no_constructor_reaches_the_network(tmp_path):
    """mmdet's LAD loads its teacher's checkpoint when it is built."""
    base = 'mmdet::lad/lad_r50-paa-r101_fpn_2xb8_coco_1x.py'
    assert [p for p in check(base) if p.severity == ERROR] == []


def test_behind_an_old_scope_the_arguments_are_looked_at(tmp_path):
    text = (
        "model = dict(backbone=dict(_delete_=True, type='mmcls.MobileNetV3', "
        "arch='smal', out_indices=(1, 3, 8, 11)))"
    )
    problems = check(str(write(tmp_path, RETINANET, text)))
    assert [p.in_short for p in problems] == [
        "model.backbone.type='mmpretrain.MobileNetV3'",
        "model.backbone.arch='small'",
        'model.neck.in_channels=[16, 24, 48, 96]',
    ]


def test_behind_a_type_that_is_merely_guessed_nothing_is_refused(tmp_path):
    text = "model = dict(backbone=dict(_delete_=True, type='SuperNetV9', width=3))"
    problems = check(str(write(tmp_path, RETINANET, text)))
    assert [p.key for p in problems] == ['model.backbone.type']


def test_a_schedule_of_1_x_is_none(tmp_path):
    text = 'train_cfg = val_cfg = test_cfg = None\n'
    # Of one for inference nothing is missing.
    assert check(str(write(tmp_path, RETINANET, text))) == []
    text += "runner = dict(type='EpochBasedRunner', max_epochs=12)\n"
    problems = check(str(write(tmp_path, RETINANET, text)))
    assert [p.key for p in problems] == ['train_cfg', 'val_cfg', 'test_cfg']
    assert {(p.kind, p.severity) for p in problems} == {('argument', ERROR)}
