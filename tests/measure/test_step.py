"""A training step on samples that are made up."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict

from plugin.config.names import load_config
from plugin.libraries import wiring
from plugin.measure.step.model import build_for_real, own_shape, own_size
from plugin.measure.step.running import LOSS, OPTIMIZER, batch, train_step
from plugin.spec import NoSamples, SampleSpec

RETINANET = 'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'
SMALL = SampleSpec((64, 64), classes=80)


@pytest.fixture
def retinanet():
    return load_config(RETINANET)


def test_samples_of_mmdet_have_objects_of_several_classes_and_masks():
    mask_rcnn = load_config('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py')
    first, second = wiring('mmdet').samples(mask_rcnn, SMALL)
    assert first['inputs'].shape == (3, 64, 64)
    assert first['inputs'].dtype == torch.uint8
    instances = first['data_samples'].gt_instances
    assert set(instances.labels.tolist()) >= {0, 79}
    boxes = instances.bboxes.tensor
    assert (boxes[:, 2:] - boxes[:, :2]).min() >= 3
    inside = instances.masks.masks.sum(axis=(1, 2))
    assert len(boxes) == len(inside) and inside.min() > 0
    assert not torch.equal(first['inputs'], second['inputs'])


def test_masks_come_where_the_pipeline_loads_them_and_proposals_without_an_rpn(
    retinanet,
):
    sample = wiring('mmdet').samples(retinanet, SMALL)[0]['data_samples']
    assert 'masks' not in sample.gt_instances
    assert 'masks' not in sample.ignored_instances
    assert len(sample.proposals) == 6
    retinanet.model.rpn_head = dict(type='RPNHead')
    sample = wiring('mmdet').samples(retinanet, SMALL)[0]['data_samples']
    assert 'proposals' not in sample


def test_samples_are_the_same_for_the_same_seed(retinanet):
    one, other = (wiring('mmdet').samples(retinanet, SMALL)[0] for _ in range(2))
    assert torch.equal(one['inputs'], other['inputs'])


def test_panoptic_samples_have_things_and_stuff():
    cfg = Config(
        dict(
            model=dict(
                semantic_head=dict(num_things_classes=80, num_stuff_classes=53),
            )
        )
    )
    (sample, _) = wiring('mmdet').samples(cfg, SMALL)
    seen = set(np.unique(sample['data_samples'].gt_sem_seg.sem_seg))
    assert min(seen) < 80 <= max(seen - {255}) < 133


def test_semantic_maps_are_as_small_as_the_pipeline_makes_them():
    pipeline = [dict(type='SegRescale', scale_factor=1 / 8)]
    cfg = Config(dict(model=dict(), train_dataloader=dict(pipeline=pipeline)))
    (sample, _) = wiring('mmdet').samples(cfg, SMALL)
    assert sample['data_samples'].gt_sem_seg.sem_seg.shape == (1, 8, 8)


def test_semi_supervised_samples_have_branches():
    preprocessor = dict(type='MultiBranchDataPreprocessor')
    cfg = Config(dict(model=dict(data_preprocessor=preprocessor)))
    (sample, _) = wiring('mmdet').samples(cfg, SMALL)
    assert list(sample['inputs']) == ['sup', 'unsup_teacher', 'unsup_student']


@pytest.mark.parametrize(('training', 'videos'), [(True, 2), (False, 1)])
def test_a_tracker_gets_two_frames_with_plain_boxes(training, videos):
    cfg = Config(dict(model=dict(data_preprocessor=dict(type='TrackDataPreprocessor'))))
    made = wiring('mmdet').samples(cfg, replace(SMALL, training=training))
    assert len(made) == videos and made[0]['inputs'].shape == (2, 3, 64, 64)
    frames = made[0]['data_samples'].video_data_samples
    for frame in frames:
        assert type(frame.gt_instances.bboxes) is torch.Tensor
    ids = [frame.gt_instances.instances_ids.tolist() for frame in frames]
    assert ids[0] == ids[1]


def test_samples_of_mmseg_have_every_kind_of_map():
    cfg = Config(dict(model=dict()))
    (sample, _) = wiring('mmseg').samples(cfg, SampleSpec((64, 64), classes=19))
    labels = sample['data_samples'].gt_sem_seg.data
    assert labels.shape == (1, 64, 64)
    assert {0, 18, 255} <= set(labels.unique().tolist())
    assert sample['data_samples'].gt_edge_map.data.shape == (1, 64, 64)
    assert sample['data_samples'].gt_depth_map.data.shape == (1, 64, 64)


def test_mmyolo_s_fast_collate_is_used():
    cfg = load_config('mmyolo::yolov8/yolov8_n_syncbn_fast_8xb16-500e_coco.py')
    data = batch(cfg, SMALL)
    assert data['inputs'].shape == (2, 3, 64, 64)
    assert data['data_samples']['bboxes_labels'].shape == (12, 6)
    assert 'masks' not in data['data_samples']


def test_masks_of_mmyolo_are_those_of_its_pipeline():
    for overlap, shape in ((True, (2, 16, 16)), (False, (12, 16, 16))):
        step = dict(type='Polygon2Mask', downsample_ratio=4, mask_overlap=overlap)
        pipeline = [dict(type='LoadAnnotations', with_mask=True), step]
        loader = dict(pipeline=pipeline, collate_fn=dict(type='yolov5_collate'))
        cfg = Config(
            dict(default_scope='mmyolo', model=dict(), train_dataloader=loader)
        )
        assert batch(cfg, SMALL)['data_samples']['masks'].shape == shape


def test_a_classifier_gets_images_with_a_class():
    cfg = Config(dict(model=dict(type='ImageClassifier')))
    first, second = wiring('mmpretrain').samples(cfg, SMALL)
    labels = [int(one['data_samples'].gt_label) for one in (first, second)]
    assert labels == [79, 0]


@pytest.mark.parametrize(
    ('scope', 'model'),
    [
        ('mmpretrain', dict(type='MAE')),
        ('mmdet', dict(language_model=dict())),
        ('mmdet', dict(data_preprocessor=dict(type='ReIDDataPreprocessor'))),
    ],
)
def test_what_takes_more_is_refused_in_words(scope, model):
    with pytest.raises(NoSamples, match='it takes|it learns|takes more'):
        wiring(scope).samples(Config(dict(model=model)), SMALL)


def test_sizes_of_batches_are_made_small():
    augments = [dict(type='BatchFixedSizePad', size=(1024, 1024))]
    cfg = load_config(RETINANET)
    cfg.model.data_preprocessor.batch_augments = augments
    model = build_for_real(cfg, 64)
    assert model.data_preprocessor.batch_augments[0].size == (64, 64)
    assert cfg.model.data_preprocessor.batch_augments[0].size == (1024, 1024)


@pytest.mark.parametrize(
    ('preprocessor', 'pipeline', 'size'),
    [
        (dict(type='P', size=(512, 1024)), [], 512),
        (dict(type='P'), [dict(type='Resize', scale=(1333, 800))], 800),
        (dict(type='P'), [dict(type='RandomResizedCrop', scale=224)], 224),
        (
            dict(type='P'),
            [dict(type='RandomResize', scale=[(1333, 640), (1333, 800)])],
            800,
        ),
        (dict(type='P'), [dict(type='RandomFlip', prob=0.5)], None),
    ],
)
def test_the_size_of_a_config_is_that_of_its_batches(preprocessor, pipeline, size):
    cfg = Config(
        dict(
            model=dict(data_preprocessor=preprocessor),
            train_dataloader=dict(dataset=dict(pipeline=pipeline)),
        )
    )
    assert own_size(cfg) == size


@pytest.mark.parametrize(
    ('step', 'shape'),
    [
        (dict(type='Resize', scale=(128, 256)), (256, 128)),
        (dict(type='Resize', scale=(256, 256)), None),
        (dict(type='Resize', scale=(1333, 800), keep_ratio=True), None),
        (dict(type='RandomFlip', prob=0.5), None),
    ],
)
def test_the_shape_of_a_config_is_that_to_which_it_resizes(step, shape):
    cfg = Config(dict(train_dataloader=dict(dataset=dict(pipeline=[step]))))
    assert own_shape(cfg) == shape


@pytest.mark.slow
def test_a_config_that_trains_has_neither_a_failure_nor_unused_parameters(retinanet):
    announced = []
    step = train_step(retinanet, SMALL, announced.append)
    assert (step.failure, step.stage) == (None, None)
    assert (step.unused, step.frozen_late) == ((), ())
    assert step.seconds > 0
    assert len(announced) == 1 and announced[0] > 0


@pytest.mark.slow
def test_a_layer_of_other_channels_is_named_with_both_numbers(retinanet):
    retinanet.model.bbox_head.in_channels = 128
    step = train_step(retinanet, SMALL)
    assert step.stage == LOSS
    assert step.failure.path == 'bbox_head.cls_convs.0.conv'
    assert (step.failure.takes, step.failure.given) == (128, 256)


@pytest.mark.slow
def test_labels_beyond_the_head_stop_the_loss(retinanet):
    retinanet.model.bbox_head.num_classes = 20
    step = train_step(retinanet, SMALL)
    assert step.stage == LOSS and step.failure.path.startswith('bbox_head')


@pytest.mark.slow
def test_an_optimizer_that_does_not_take_its_arguments_is_told(retinanet):
    retinanet.optim_wrapper.optimizer = ConfigDict(type='SGD', lr=0.1, momenta=0.9)
    step = train_step(retinanet, SMALL)
    assert step.stage == OPTIMIZER
    assert 'momenta' in step.failure.text


@pytest.mark.slow
def test_parameters_without_a_gradient_are_found_in_two_batches(retinanet):
    """The last stage of a backbone whose last map is not taken."""
    retinanet.model.backbone.out_indices = (0, 1, 2)
    retinanet.model.neck.in_channels = [64, 128, 256]
    step = train_step(retinanet, SMALL)
    assert step.failure is None
    assert step.unused and all('backbone.layer4' in name for name in step.unused)


@pytest.mark.slow
def test_a_backbone_that_freezes_in_train_does_so_after_ddp_looked(retinanet):
    retinanet.model.backbone = ConfigDict(
        type='SwinTransformer',
        embed_dims=24,
        depths=[1, 1, 1, 1],
        num_heads=[1, 2, 4, 8],
        frozen_stages=1,
    )
    retinanet.model.neck.in_channels = [24, 48, 96, 192]
    step = train_step(retinanet, SMALL)
    assert step.failure is None
    assert step.frozen_late
    assert all(name.startswith('backbone.') for name in step.frozen_late)
    assert step.unused == ()


@pytest.mark.slow
def test_the_random_state_of_the_process_is_left_alone(retinanet):
    before = torch.random.get_rng_state()
    train_step(retinanet, SMALL)
    assert torch.equal(torch.random.get_rng_state(), before)
