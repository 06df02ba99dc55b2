"""Types that do not resolve, with the names and scopes that are nearest."""

import pytest
from mmengine.config import Config
from one_problem import DET, RETINANET, UPERNET, Reported, fix_it, reported, write

from plugin.check import CheckedConfig, check
from plugin.check.rules.types import types
from plugin.check.rules.types.names import nearest_types
from plugin.config.problem import ERROR, WARNING

pytestmark = pytest.mark.slow

YOLOV5 = 'mmyolo::yolov5/yolov5_s-v61_syncbn_8xb16-300e_coco.py'
CLASSIFIER = 'mmpretrain::resnet/resnet50_8xb32_in1k.py'


def registry(key, found, expected, fix):
    return Reported(key, 'registry', ERROR, found, expected, fix)


def one(tmp_path, base, text):
    """Return the only problem, which its fix corrects."""
    path = write(tmp_path, base, text)
    (problem,) = check(str(path))
    fix_it(path, problem)
    return problem


def test_a_typing_error_gets_the_nearest_names(tmp_path):
    key = 'model.backbone.type'
    near = ['ResNet', 'mmseg.ResNet', 'mmpretrain.ResNet']
    fix_it(
        write(tmp_path, RETINANET, "model = dict(backbone=dict(type='ResNett'))"),
        registry(key, 'ResNett', near, f"{key}='ResNet'"),
    )


@pytest.mark.parametrize(
    ('text', 'fix'),
    [
        (
            "model = dict(bbox_head=dict(loss_cls=dict(type='FocalLos')))",
            "model.bbox_head.loss_cls.type='FocalLoss'",
        ),
        (
            "model = dict(bbox_head=dict(anchor_generator=dict(type='AnchorGen')))",
            "model.bbox_head.anchor_generator.type='AnchorGenerator'",
        ),
        (
            "model = dict(data_preprocessor=dict(type='DetDataPreprocesor'))",
            "model.data_preprocessor.type='DetDataPreprocessor'",
        ),
        (
            "optim_wrapper = dict(type='AmpOptimWraper')",
            "optim_wrapper.type='AmpOptimWrapper'",
        ),
        (
            "param_scheduler = [dict(type='MultiStepLr', milestones=[8], end=9)]",
            "param_scheduler[0].type='MultiStepLR'",
        ),
        (
            "train_cfg = dict(type='EpochBasedTrainLop')",
            "train_cfg.type='EpochBasedTrainLoop'",
        ),
        (
            "visualizer = dict(type='DetLocalVisualiser')",
            "visualizer.type='DetLocalVisualizer'",
        ),
        (
            "train_dataloader = dict(sampler=dict(type='DefaultSamplr'))",
            "train_dataloader.sampler.type='DefaultSampler'",
        ),
        (
            "train_dataloader = dict(batch_sampler=dict(type='AspectRatioSampler'))",
            "train_dataloader.batch_sampler.type='AspectRatioBatchSampler'",
        ),
        (
            "val_dataloader = dict(dataset=dict(type='CocoDatset'))",
            "val_dataloader.dataset.type='CocoDataset'",
        ),
        (
            "val_dataloader = dict(collate_fn=dict(type='pseudo_colate'))",
            "val_dataloader.collate_fn.type='pseudo_collate'",
        ),
        (
            "default_hooks = dict(checkpoint=dict(type='ChekpointHook'))",
            "default_hooks.checkpoint.type='CheckpointHook'",
        ),
        (
            "log_processor = dict(type='LogProcesor')",
            "log_processor.type='LogProcessor'",
        ),
    ],
)
def test_any_part_of_the_config_is_looked_at(tmp_path, text, fix):
    assert one(tmp_path, RETINANET, text).in_short == fix


def test_a_constructor_is_looked_up_among_constructors(tmp_path):
    text = "optim_wrapper = dict(constructor='DefaultOptimWrapperConstruct')"
    problem = one(tmp_path, RETINANET, text)
    assert problem.key == 'optim_wrapper.constructor'
    assert problem.expected[0] == 'DefaultOptimWrapperConstructor'


def test_a_class_of_another_library_gets_its_scope(tmp_path):
    text = (
        "model = dict(backbone=dict(_delete_=True, type='ResNet', depth=50, "
        'out_indices=(1, 2, 3)), neck=dict(widen_factor=1.0, '
        'in_channels=[512, 1024, 2048], out_channels=[512, 1024, 2048]), '
        'bbox_head=dict(head_module=dict(widen_factor=1.0, '
        'in_channels=[512, 1024, 2048])))'
    )
    problem = one(tmp_path, YOLOV5, text)
    assert problem.expected == ['mmdet.ResNet', 'mmseg.ResNet', 'mmpretrain.ResNet']


@pytest.mark.parametrize('scope', ['mmcls', 'mmselfsup'])
def test_a_library_of_old_gets_the_scope_of_its_successor(tmp_path, scope):
    text = f"model = dict(backbone=dict(type='{scope}.ResNet'))"
    problem = one(tmp_path, RETINANET, text)
    assert problem.in_short == "model.backbone.type='mmpretrain.ResNet'"


def test_a_fourth_map_of_mmselfsup_is_counted_one_lower():
    cfg = Config.fromfile(path_of(RETINANET))
    cfg.model.backbone.update(type='mmselfsup.ResNet', out_indices=(1, 2, 3, 4))
    (problem,) = types(CheckedConfig(cfg))
    assert problem.in_short == (
        "model.backbone.type='mmpretrain.ResNet'; "
        'model.backbone.out_indices=[0, 1, 2, 3]'
    )


def path_of(config):
    from plugin.config.names import config_path

    return str(config_path(config))


@pytest.mark.parametrize(
    ('base', 'old', 'new'),
    [
        (RETINANET, 'DefaultFormatBundle', 'PackDetInputs'),
        (UPERNET, 'Collect', 'PackSegInputs'),
        (CLASSIFIER, 'PackClsInputs', 'PackInputs'),
    ],
)
def test_a_transform_of_1_x_is_reported_with_what_took_over(base, old, new):
    cfg = Config.fromfile(path_of(base))
    pipeline = cfg.train_dataloader.dataset.pipeline
    pipeline[-1] = dict(type=old)
    (problem,) = types(CheckedConfig(cfg))
    assert problem.in_short.endswith(f"pipeline[{len(pipeline) - 1}].type='{new}'")


def test_a_library_that_is_not_installed_is_to_be_installed(tmp_path):
    text = "custom_hooks = [dict(type='mmrazor.StopDistillHook')]"
    (problem,) = check(str(write(tmp_path, RETINANET, text)))
    assert problem.found == 'mmrazor.StopDistillHook: mmrazor is not installed'
    assert problem.in_short == '$ mim install mmrazor'


def test_a_library_that_is_not_installed_is_meant_where_another_has_the_name(tmp_path):
    path = write(tmp_path, RETINANET, "val_evaluator = dict(type='mmpose.CocoMetric')")
    (problem,) = check(str(path))
    assert reported(problem) == registry(
        'val_evaluator.type',
        'mmpose.CocoMetric: mmpose is not installed',
        'mmpose is installed',
        '$ mim install mmpose',
    )


@pytest.mark.parametrize(
    'piece',
    ['mmdet::retinanet/retinanet_tta.py', 'mmdet::_base_/datasets/coco_detection.py'],
)
def test_a_piece_without_a_model_has_the_scope_of_what_inherits_it(piece):
    assert check(piece) == []


def test_all_types_of_one_library_are_one_problem(tmp_path):
    text = "custom_hooks = [dict(type='mmrazor.A'), dict(type='mmrazor.B')]"
    (problem,) = check(str(write(tmp_path, RETINANET, text)))
    assert problem.key == 'custom_hooks[0].type'
    assert problem.found.endswith('; 1 more of its types are used')


def test_a_class_that_an_extra_brings_is_reported_with_its_file():
    cfg = Config.fromfile(path_of('mmpretrain::blip/blip-base_8xb32_caption.py'))
    (problem,) = types(CheckedConfig(cfg))
    assert problem.found.startswith(
        'BlipTokenizer: mmpretrain/models/utils/tokenizer.py has it, which mmpretrain '
    )
    assert problem.in_short == '$ mim install "mmpretrain[multimodal]"'


def test_ours_without_the_import_are_reported_once_with_the_import(tmp_path):
    text = (
        "model = dict(backbone=dict(_delete_=True, type='ConvNeXt', arch='tiny'), "
        'neck=dict(in_channels=[96, 192, 384, 768]))\n'
        "optim_wrapper = dict(constructor='LayerDecayOptimWrapperConstructor', "
        'paramwise_cfg=dict(decay_rate=0.9, num_layers=6))'
    )
    problem = one(tmp_path, RETINANET, text)
    assert reported(problem) == registry(
        'model.backbone.type',
        'ConvNeXt is registered only after plugin.det is imported; also '
        'optim_wrapper.constructor',
        'plugin.det in custom_imports, or plugin.ConvNeXt',
        "custom_imports={'imports': ['plugin.det'], 'allow_failed_imports': False}",
    )


def test_the_import_of_another_task_is_not_enough(tmp_path):
    text = (
        DET.replace('det', 'seg')
        + "model = dict(backbone=dict(_delete_=True, type='ConvNeXt', arch='tiny'), "
        'neck=dict(in_channels=[96, 192, 384, 768]))'
    )
    assert "['plugin.seg', 'plugin.det']" in one(tmp_path, RETINANET, text).in_short


def test_ours_with_their_scope_need_no_import(tmp_path):
    text = (
        "model = dict(backbone=dict(_delete_=True, type='plugin.ConvNeXt', "
        "arch='tiny'), neck=dict(in_channels=[96, 192, 384, 768]))"
    )
    assert check(str(write(tmp_path, RETINANET, text))) == []


def test_a_module_of_the_users_that_imports_ours_is_enough(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'all_of_mine.py').write_text('import plugin.det\n')
    text = (
        DET.replace('plugin.det', 'all_of_mine')
        + "model = dict(backbone=dict(_delete_=True, type='ConvNeXt', arch='tiny'), "
        'neck=dict(in_channels=[96, 192, 384, 768]))'
    )
    assert check(str(write(tmp_path, RETINANET, text))) == []


@pytest.mark.parametrize('written', ['None', "'mmdett'", "'mmdetection'"])
def test_a_default_scope_that_is_none_is_one_problem(tmp_path, written):
    problem = one(tmp_path, RETINANET, f'default_scope = {written}')
    assert (problem.key, problem.kind) == ('default_scope', 'registry')
    assert problem.in_short == "default_scope='mmdet'"


def test_without_data_a_default_scope_that_is_missing_is_a_warning():
    """mmpretrain's own functions build such a model in the scope of mmpretrain."""
    (problem,) = check('mmpretrain::sam/vit-base-p16_sam_headless.py')
    assert (problem.key, problem.severity) == ('default_scope', WARNING)


def test_names_of_ops_and_of_modes_are_no_types(tmp_path):
    text = (
        "model = dict(test_cfg=dict(nms=dict(type='soft_nms')), "
        "neck=dict(upsample_cfg=dict(mode='bilinear')))"
    )
    assert check(str(write(tmp_path, RETINANET, text))) == []


def test_the_library_that_is_meant_comes_first():
    near, same = nearest_types('mmcls.FocalLoss', 'MODELS', 'mmdet', ours=False)
    assert near == ['mmpretrain.FocalLoss', 'FocalLoss', 'mmseg.FocalLoss'] and same
