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
    cfg = put_on_shapes(cfg, TASKS[cfg.default_scope], shapes, tmp_path / 'work')
    cfg.experiment_name = f'{base}_{backbone}'
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
