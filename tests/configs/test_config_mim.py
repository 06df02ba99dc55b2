"""Ready configs through the real mim, and the chain from classifier to detector."""

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from ready_configs import lightest, on_shapes, task

from plugin.weights.files.sources import read_checkpoint

MIM_NAMES = {
    'det': 'mmdet',
    'seg': 'mmsegmentation',
    'yolo': 'mmyolo',
    'cls': 'mmpretrain',
}
LIGHTEST = {
    **{task(name): name for name in lightest()},
    # That of the demo is lighter yet.
    'seg': 'configs/seg/upernet_timm-resnet10t_1xb8-1k_shapes.py',
}


def train_and_test(cfg, folder, out, run_mim):
    """Train two iterations, test the checkpoint, and return its path."""
    if cfg.train_cfg.get('type') == 'IterBasedTrainLoop':
        cfg.train_cfg.max_iters = 2
    else:
        cfg.train_cfg.max_epochs = 2
    config = out / 'config.py'
    cfg.dump(config)
    library = MIM_NAMES[folder]
    run_mim('train', library, config, '--work-dir', out)
    (checkpoint,) = out.glob('*_2.pth')
    tested = run_mim(
        *('test', library, config, '--work-dir', out, '--checkpoint', checkpoint)
    )
    assert 'Load checkpoint from' in tested.stdout and '(test)' in tested.stdout
    return checkpoint


@pytest.mark.slow
@pytest.mark.parametrize('folder', ['det', 'seg', 'yolo'])
def test_mim_trains_and_tests(folder, shapes, tmp_path, run_mim):
    cfg = on_shapes(LIGHTEST[folder], shapes, tmp_path)
    train_and_test(cfg, folder, tmp_path, run_mim)


@pytest.mark.slow
def test_a_backbone_pretrained_by_mim_arrives_whole_in_retinanet(
    shapes, tmp_path, run_mim, repo_root
):
    cfg = on_shapes(LIGHTEST['cls'], shapes, tmp_path)
    cfg.model.backbone.arch = 'atto'
    cfg.model.head.in_channels = 320
    # Its cosine begins at epoch 20.
    cfg.param_scheduler = None
    checkpoint = train_and_test(cfg, 'cls', tmp_path, run_mim)

    state = read_checkpoint(checkpoint)['state_dict']
    trained = {
        key.removeprefix('backbone.'): tensor
        for key, tensor in state.items()
        if key.startswith('backbone.')
    }
    detector = Config.fromfile(
        str(repo_root / 'configs/det/_base_/retinanet_shapes.py')
    )
    weights = dict(type='Pretrained', checkpoint=str(checkpoint), prefix='backbone.')
    detector.model.backbone = dict(
        type='plugin.ConvNeXt', arch='atto', out_indices=(1, 2, 3), init_cfg=weights
    )
    detector.model.neck.in_channels = [80, 160, 320]
    init_default_scope('mmdet')
    model = MODELS.build(detector.model)
    before = {k: v.clone() for k, v in model.backbone.state_dict().items()}
    model.init_weights()
    after = model.backbone.state_dict()

    assert len(trained) > 100 and not set(trained) - set(after)
    assert all(torch.equal(after[name], trained[name]) for name in trained)
    moved = [n for n in trained if not torch.equal(before[n], trained[n])]
    assert len(moved) > len(trained) / 2
    # A classifier has the norm of its last map only.
    assert set(after) - set(trained) == {
        f'norm{i}.{kind}' for i in (1, 2) for kind in ('weight', 'bias')
    }
