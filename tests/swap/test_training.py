"""Written configs train, by their own library's Runner, on the shapes data set."""

import math
from importlib import import_module

import pytest
from mmengine.runner import Runner
from pairs import BACKBONES, BASES
from ready_configs import put_on_shapes
from two_iterations import Watch

TASKS = {'mmdet': 'det', 'mmseg': 'seg', 'mmyolo': 'yolo'}
# A base with a backbone that asks something of the training too: parameters without a
# gradient, others than weight and bias, dilation, a module of the user's.
PAIRS = {
    ('retinanet', 'mmpretrain-mobilenetv3'): True,
    ('faster-rcnn', 'mmdet-swin'): False,
    ('yolox', 'ConvNeXt'): False,
    ('yolov5', 'ConvNeXt'): True,
    ('yolov8', 'timm-convnext'): False,
    ('rtmdet', 'mmpretrain-regnet'): False,
    ('upernet', 'own'): True,
    ('pspnet', 'timm-resnet'): False,
}


def test_each_base_is_among_them():
    assert {base for base, _ in PAIRS} == set(BASES)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('base', 'backbone'),
    [
        pytest.param(*pair, marks=[] if always else pytest.mark.wide, id='-'.join(pair))
        for pair, always in PAIRS.items()
    ],
)
def test_two_iterations_and_a_validation(
    base, backbone, swapped, own_net, shapes, tmp_path
):
    name, options = BACKBONES[backbone]
    imports = [own_net] if backbone == 'own' else []
    _, cfg = swapped(BASES[base], name, imports=imports, **options)
    assert_it_trains(cfg, f'{base}_{backbone}', shapes, tmp_path)


# A detector with a neck of its own for the pyramid, and one without a place for it;
# patches of 14 pixels that are resampled, and that are kept.
VITS = [
    ('mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py', 'vit_small_patch14_dinov2', {}),
    (BASES['rtmdet'], 'vit_small_patch16_dinov3', {}),
    (
        'mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
        'vit_small_patch14_dinov2',
        dict(timm_kwargs=dict(patch_size=14)),
    ),
]


@pytest.mark.slow
@pytest.mark.wide
@pytest.mark.parametrize(('base', 'vit', 'options'), VITS)
def test_plain_vits_train(base, vit, options, swapped, shapes, tmp_path):
    _, cfg = swapped(base, f'timm:{vit}', **options)
    assert_it_trains(cfg, vit, shapes, tmp_path)


def assert_it_trains(cfg, name, shapes, tmp_path):
    """Two iterations with finite losses, of all that is to train, and a validation."""
    cfg = put_on_shapes(cfg, TASKS[cfg.default_scope], shapes, tmp_path / 'work')
    cfg.experiment_name = name
    import_module(f'{cfg.default_scope}.models')
    runner = Runner.from_cfg(cfg)
    watch = Watch()
    runner.register_hook(watch)
    runner.train()

    assert len(watch.losses) == 2 and all(map(math.isfinite, watch.losses))
    without = watch.trainable - watch.reached
    assert watch.trainable and bool(without) == cfg.get('find_unused_parameters', False)
    groups = runner.optim_wrapper.optimizer.param_groups
    trained = {id(p) for group in groups for p in group['params']}
    parameters = runner.model.named_parameters()
    wanted = {name: id(p) for name, p in parameters if p.requires_grad}
    assert [name for name, i in wanted.items() if i not in trained] == []
    assert watch.validated == 2
