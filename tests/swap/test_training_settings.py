"""Optimizer, schedule and collation, where a new backbone asks for others."""

import pytest
from pairs import BASES

# A second or two each, and there are many.
pytestmark = pytest.mark.slow


def test_layer_norms_are_trained_with_adamw_at_the_rate_for_the_images(swapped):
    _, cfg = swapped(BASES['retinanet'], 'plugin.ConvNeXt', arch='atto')
    assert cfg.optim_wrapper.optimizer == dict(type='AdamW', lr=1e-4, weight_decay=0.05)
    _, cfg = swapped(BASES['yolox'], 'plugin.ConvNeXt', arch='atto')
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(2e-4)
    # YOLOX ends at 0.05 of its own rate, 0.01.
    assert cfg.param_scheduler[1].eta_min == pytest.approx(1e-5)


def test_batch_norms_keep_the_optimizer_of_the_base(swapped):
    done, cfg = swapped(BASES['retinanet'], 'timm:resnet10t')
    assert cfg.optim_wrapper.optimizer.type == 'SGD'
    assert 'optim_wrapper' not in done.text


def test_adamw_of_the_base_stays(swapped):
    done, cfg = swapped(BASES['rtmdet'], 'plugin.ConvNeXt', arch='atto')
    assert cfg.optim_wrapper.optimizer.lr == 0.004
    assert 'optim_wrapper' not in done.text


def test_yolo_s_constructor_goes_where_it_would_leave_parameters_out(swapped):
    done, cfg = swapped(BASES['yolov8'], 'plugin.ConvNeXt', arch='atto')
    assert cfg.optim_wrapper.constructor == 'DefaultOptimWrapperConstructor'
    assert cfg.optim_wrapper.optimizer.type == 'AdamW'
    assert cfg.optim_wrapper.clip_grad == dict(max_norm=10.0)
    assert cfg.default_hooks.param_scheduler == dict(type='ParamSchedulerHook')
    assert [s.type for s in cfg.param_scheduler] == ['LinearLR', 'CosineAnnealingLR']
    assert 'gamma' in done.text


def test_yolo_s_constructor_stays_where_all_is_weight_and_bias(swapped):
    _, cfg = swapped(BASES['yolov8'], 'timm:resnet10t')
    assert cfg.optim_wrapper.constructor == 'YOLOv5OptimizerConstructor'


def test_layer_decay_that_knows_one_backbone_becomes_ours(swapped):
    _, cfg = swapped(
        'mmseg::convnext/convnext-tiny_upernet_8xb2-amp-160k_ade20k-512x512.py',
        'timm:resnet10t',
    )
    assert cfg.optim_wrapper.constructor == 'LayerDecayOptimWrapperConstructor'
    assert cfg.optim_wrapper.paramwise_cfg == dict(
        decay_rate=0.9, decay_type='stage_wise'
    )
    # The base imports by a string.
    assert cfg.custom_imports.imports == ['mmpretrain.models', 'plugin.seg']


def test_a_pyramid_does_not_train_at_the_rate_of_the_backbone(swapped):
    _, cfg = swapped(
        'mmdet::mask2former/mask2former_r50_8xb2-lsj-50e_coco.py',
        'timm:vit_tiny_patch16_224',
    )
    keys = cfg.optim_wrapper.paramwise_cfg.custom_keys
    assert keys['backbone'].lr_mult == 0.1
    assert keys['backbone.pyramid'] == dict(lr_mult=1.0)


def test_the_mark_of_a_scope_does_not_reach_the_function_that_collates(swapped):
    _, cfg = swapped(BASES['yolov8'], 'timm:resnet10t')
    assert cfg.train_dataloader.collate_fn == dict(type='yolov5_collate')
    _, cfg = swapped(
        'mmyolo::ppyoloe/ppyoloe_s_fast_8xb32-300e_coco.py', 'timm:resnet10t'
    )
    assert cfg.train_dataloader.collate_fn == dict(
        type='yolov5_collate', use_ms_training=True
    )
