"""Numbers of classes against the data sets, and the data sets against each other."""

import pytest
from mmengine.config import Config
from one_problem import CLS, DET, RETINANET, UPERNET, Reported, fix_it, write

from plugin.check import check
from plugin.check.data_sets import data_sets
from plugin.config.problem import ERROR, WARNING

pytestmark = pytest.mark.slow

FASTER = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
MASK = 'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py'
YOLOV8 = 'mmyolo::yolov8/yolov8_s_syncbn_fast_8xb16-500e_coco.py'
PETS = "metainfo = dict(classes=('cat', 'dog'))\n"
ALL_PETS = PETS + ''.join(
    f'{split}_dataloader = dict(dataset=dict(metainfo=metainfo))\n'
    for split in ('train', 'val', 'test')
)
TRAIN = 'train_dataloader.dataset'


def problem(key, found, expected, fix, severity=ERROR):
    return Reported(key, 'classes', severity, found, expected, fix)


# The model


def test_a_head_of_other_classes_is_reported(tmp_path):
    fixed = fix_it(
        write(tmp_path, RETINANET, ALL_PETS),
        problem(
            'model.bbox_head.num_classes',
            80,
            f'2, the classes of {TRAIN} (cat, dog)',
            'model.bbox_head.num_classes=2',
        ),
    )
    assert fixed.model.bbox_head.num_classes == 2


def test_the_class_of_the_data_set_says_what_they_are(tmp_path):
    text = 'model = dict(bbox_head=dict(num_classes=20))'
    fix_it(
        write(tmp_path, RETINANET, text),
        problem(
            'model.bbox_head.num_classes',
            20,
            f'80, the classes of {TRAIN} (person, bicycle, car, ...)',
            'model.bbox_head.num_classes=80',
        ),
    )


def test_all_heads_of_a_detector_follow_in_one_fix(tmp_path):
    fixed = fix_it(
        write(tmp_path, MASK, ALL_PETS),
        problem(
            'model.roi_head.bbox_head.num_classes',
            80,
            f'2, the classes of {TRAIN} (cat, dog)',
            'model.roi_head.bbox_head.num_classes=2; '
            'model.roi_head.mask_head.num_classes=2',
        ),
    )
    assert fixed.model.roi_head.mask_head.num_classes == 2
    assert fixed.model.rpn_head.get('num_classes') is None


def test_each_head_of_a_cascade_follows(tmp_path):
    base = 'mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py'
    (found,) = check(str(write(tmp_path, base, ALL_PETS)))
    assert found.in_short == '; '.join(
        f'model.roi_head.bbox_head[{i}].num_classes=2' for i in range(3)
    )


def test_the_assigner_of_yolov8_follows(tmp_path):
    fix_it(
        write(tmp_path, YOLOV8, ALL_PETS),
        problem(
            'model.bbox_head.head_module.num_classes',
            80,
            f'2, the classes of {TRAIN} (cat, dog)',
            'model.bbox_head.head_module.num_classes=2; '
            'model.train_cfg.assigner.num_classes=2',
        ),
    )


def test_decode_and_auxiliary_heads_follow(tmp_path):
    text = (
        'heads = [dict(type="FCNHead", in_channels=1024, in_index=2, channels=256, '
        'num_classes=n) for n in (150, 21)]\n'
        'model = dict(decode_head=dict(num_classes=19), auxiliary_head=heads)'
    )
    fix_it(
        write(tmp_path, UPERNET, text),
        problem(
            'model.decode_head.num_classes',
            19,
            f'150, the classes of {TRAIN} (wall, building, sky, ...)',
            'model.decode_head.num_classes=150; '
            'model.auxiliary_head[1].num_classes=150',
        ),
    )


def test_the_weights_of_mask2former_s_loss_follow(tmp_path):
    base = 'mmseg::mask2former/mask2former_r50_8xb2-160k_ade20k-512x512.py'
    found = check(
        str(
            write(
                tmp_path,
                base,
                f'{PETS}metainfo["palette"] = [[1, 1, 1], [2, 2, 2]]\n'
                + ALL_PETS.removeprefix(PETS),
            )
        )
    )
    (found,) = [p for p in found if p.kind == 'classes']
    assert found.in_short == (
        'model.decode_head.num_classes=2; '
        'model.decode_head.loss_cls.class_weight=[1.0, 1.0, 0.1]'
    )


def test_a_classifier_trains_with_outputs_to_spare(tmp_path):
    base = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'
    for number, severity in ((2000, WARNING), (10, ERROR)):
        text = f'{CLS}model = dict(head=dict(num_classes={number}))'
        (found,) = check(str(write(tmp_path, base, text)))
        assert found.severity == severity
        assert found.in_short == 'model.head.num_classes=1000'


def test_boxes_of_panoptic_data_are_of_things(tmp_path):
    base = 'mmdet::panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py'
    assert check(str(write(tmp_path, base, ''))) == []
    text = 'model = dict(roi_head=dict(bbox_head=dict(num_classes=133)))'
    (found,) = check(str(write(tmp_path, base, text)))
    assert found.in_short == 'model.roi_head.bbox_head.num_classes=80'


def test_a_head_of_boundaries_has_two_classes_of_its_own(tmp_path):
    base = 'mmseg::stdc/stdc1_4xb12-80k_cityscapes-512x1024.py'
    found = check(str(write(tmp_path, base, '')))
    assert [p for p in found if p.kind == 'classes'] == []


def test_models_that_get_the_classes_in_words_are_left_alone(tmp_path):
    base = 'mmdet::grounding_dino/grounding_dino_swin-t_finetune_16xb2_1x_coco.py'
    text = 'model = dict(bbox_head=dict(num_classes=256))'
    found = check(str(write(tmp_path, base, text)))
    assert [p for p in found if p.kind == 'classes'] == []


# The data sets


def test_the_missing_comma_is_fixed_in_all_data_sets_and_in_the_model(tmp_path):
    text = "train_dataloader = dict(dataset=dict(metainfo=dict(classes='cat')))"
    fixed = fix_it(
        write(tmp_path, RETINANET, text),
        problem(
            f'{TRAIN}.metainfo.classes',
            "'cat', a string, which counts as 3 classes",
            ('cat',),
            f"{TRAIN}.metainfo.classes=['cat']; "
            "val_dataloader.dataset.metainfo={'classes': ['cat']}; "
            "test_dataloader.dataset.metainfo={'classes': ['cat']}; "
            'model.bbox_head.num_classes=1',
        ),
    )
    assert fixed.train_dataloader.dataset.metainfo.classes == ['cat']


def test_a_string_of_several_is_taken_apart(tmp_path):
    text = "train_dataloader = dict(dataset=dict(metainfo=dict(classes='cat, dog')))"
    (found,) = check(str(write(tmp_path, RETINANET, text)))
    assert found.expected == ('cat', 'dog')


def test_a_file_of_classes_is_read(tmp_path):
    names = tmp_path / 'classes.txt'
    names.write_text('cat\ndog\nbird\n')
    text = ALL_PETS.replace("('cat', 'dog')", repr(str(names)))
    (found,) = check(str(write(tmp_path, RETINANET, text)))
    assert found.expected == f'3, the classes of {TRAIN} (cat, dog, bird)'


def test_the_old_spelling_is_not_read(tmp_path):
    text = ALL_PETS.replace('classes=', 'CLASSES=')
    config = write(tmp_path, RETINANET, text)
    (found,) = check(str(config))
    assert found.key == f'{TRAIN}.metainfo.CLASSES'
    assert found.found == 'CLASSES, which is not read: write classes'
    fixed = fix_it(config, found)
    assert fixed.val_dataloader.dataset.metainfo == dict(classes=['cat', 'dog'])


def test_validation_without_the_classes_is_reported(tmp_path):
    text = (
        f'{PETS}train_dataloader = dict(dataset=dict(metainfo=metainfo))\n'
        'model = dict(bbox_head=dict(num_classes=2))'
    )
    fix_it(
        write(tmp_path, RETINANET, text),
        problem(
            'val_dataloader.dataset.metainfo',
            '80 classes (person, bicycle, car, ...), but 2 classes (cat, dog) in '
            f'{TRAIN}',
            ('cat', 'dog'),
            "val_dataloader.dataset.metainfo={'classes': ['cat', 'dog']}; "
            "test_dataloader.dataset.metainfo={'classes': ['cat', 'dog']}",
        ),
    )


def test_training_without_the_classes_is_reported(tmp_path):
    text = PETS + ''.join(
        f'{split}_dataloader = dict(dataset=dict(metainfo=metainfo))\n'
        for split in ('val', 'test')
    )
    fix_it(
        write(tmp_path, RETINANET, text),
        problem(
            f'{TRAIN}.metainfo',
            '80 classes (person, bicycle, car, ...), but 2 classes (cat, dog) in '
            'val_dataloader.dataset',
            ('cat', 'dog'),
            f"{TRAIN}.metainfo={{'classes': ['cat', 'dog']}}; "
            'model.bbox_head.num_classes=2',
        ),
    )


def test_classes_in_another_order_are_others(tmp_path):
    text = (
        f'{ALL_PETS}model = dict(bbox_head=dict(num_classes=2))\n'
        "val_dataloader = dict(dataset=dict(metainfo=dict(classes=('dog', 'cat'))))"
    )
    (found,) = check(str(write(tmp_path, RETINANET, text)))
    assert found.key == 'val_dataloader.dataset.metainfo.classes'
    assert found.in_short == "val_dataloader.dataset.metainfo.classes=['cat', 'dog']"


def test_evaluating_on_data_of_another_kind_is_no_mistake(tmp_path):
    text = "val_dataloader = dict(dataset=dict(type='Objects365V1Dataset'))"
    assert check(str(write(tmp_path, RETINANET, text))) == []


def test_whether_the_first_class_counts_is_up_to_the_masks(tmp_path):
    text = (
        'train_dataloader = dict(dataset=dict(type="PascalVOCDataset", '
        'reduce_zero_label=True))\n'
        'model = dict(decode_head=dict(num_classes=20), '
        'auxiliary_head=dict(num_classes=20))'
    )
    assert check(str(write(tmp_path, UPERNET, text))) == []


@pytest.mark.parametrize(
    ('wrapped', 'key'),
    [
        (dict(type='RepeatDataset', times=2, dataset='CAT'), 'dataset'),
        (dict(type='ClassBalancedDataset', oversample_thr=1, dataset='CAT'), 'dataset'),
        (dict(type='ConcatDataset', datasets=['CAT', 'CAT']), 'datasets[0]'),
        (
            dict(type='MultiImageMixDataset', pipeline=[], dataset='CAT'),
            'dataset',
        ),
        (
            dict(type='RepeatDataset', times=2, dataset=dict(dataset='CAT')),
            'dataset.dataset',
        ),
    ],
)
def test_wrappers_are_looked_into(wrapped, key):
    cat = dict(type='CocoDataset', metainfo=dict(classes=('cat',)))
    loader = eval(repr(wrapped).replace("'CAT'", repr(cat)))
    cfg = Config(dict(default_scope='mmdet', train_dataloader=dict(dataset=loader)))
    found = data_sets(cfg, 'train_dataloader')[0]
    assert found.key == f'{TRAIN}.{key}'
    assert found.classes == ('cat',)


def test_a_data_set_that_knows_its_classes_from_its_files_is_left_alone(tmp_path):
    base = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'
    text = (
        f'{CLS}train_dataloader = dict(dataset=dict(_delete_=True, '
        "type='CustomDataset', data_prefix='data/pets', pipeline=[]))\n"
        'model = dict(head=dict(num_classes=37))'
    )
    assert check(str(write(tmp_path, base, text))) == []


def test_classes_of_mmpretrain_are_an_argument(tmp_path):
    base = 'mmpretrain::resnet/resnet18_8xb32_in1k.py'
    text = CLS + ''.join(
        f'{s}_dataloader = dict(dataset=dict(_delete_=True, type="CustomDataset", '
        'data_prefix="data/pets", classes=["cat", "dog"], pipeline=[]))\n'
        for s in ('train', 'val')
    )
    (found,) = check(
        str(
            write(
                tmp_path,
                base,
                f'{text}test_dataloader = None\ntest_cfg = test_evaluator = None',
            )
        )
    )
    assert found.expected == f'2, the classes of {TRAIN} (cat, dog)'


def test_no_data_is_read(tmp_path, monkeypatch):
    from mmengine.dataset import BaseDataset

    def refuse(self, *args, **kwargs):
        raise AssertionError('a data set was built')

    monkeypatch.setattr(BaseDataset, '__init__', refuse)
    assert len(check(str(write(tmp_path, FASTER, DET + ALL_PETS)))) == 1


def test_the_kernels_of_knet_count_the_same_classes(tmp_path):
    base = 'mmseg::knet/knet-s3_r50-d8_deeplabv3_8xb2-adamw-80k_ade20k-512x512.py'
    key = 'model.decode_head.kernel_generate_head.num_classes'
    text = 'model = dict(decode_head=dict(kernel_generate_head=dict(num_classes=75)))'
    (problem,) = check(str(write(tmp_path, base, text)))
    assert (problem.key, problem.in_short) == (key, f'{key}=150')
