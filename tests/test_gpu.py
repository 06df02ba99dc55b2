"""mim on a GPU, with mixed precision, and with DDP by NCCL, as docs/training.md has it.

``make test-gpu`` runs these, and those of other files whose ``device`` is ``cuda``.
"""

import os

import pytest

from plugin.weights.files.sources import read_checkpoint

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

CONFIGS = {
    'mmdet': 'retinanet_timm-efficientnet-lite0_fpn_1xb8-finetune-unfreeze-20e_shapes',
    'mmyolo': 'yolov5_s_timm-resnet10t_pafpn_1xb16-30e_shapes',
    'mmsegmentation': 'upernet_timm-resnet10t_1xb8-1k_shapes',
}


@pytest.fixture
def config(repo_root, shapes, tmp_path):
    """Return ``config(library)``: a config of the demo on 16 images."""

    def write(library):
        [base] = (repo_root / 'configs').glob(f'*/{CONFIGS[library]}.py')
        loader = dict(
            batch_size=8, num_workers=0, persistent_workers=False, pin_memory=True
        )
        loader['dataset'] = dict(data_root=f'{shapes}/')
        settings = dict(
            _base_=str(base),
            train_dataloader=loader,
            val_dataloader=loader,
            test_dataloader=loader,
            default_hooks=dict(
                checkpoint=dict(interval=2, save_best=None), logger=dict(interval=1)
            ),
        )
        if library == 'mmsegmentation':
            settings['train_cfg'] = dict(max_iters=2, val_interval=2)
        else:
            annotations = f'{shapes}/annotations/instances_val.json'
            settings.update(
                train_cfg=dict(max_epochs=2, val_interval=2),
                val_evaluator=dict(ann_file=annotations),
                test_evaluator=dict(ann_file=annotations),
            )
        if library == 'mmdet':
            settings['custom_hooks'] = [
                dict(type='UnfreezeBackboneEpochBasedHook', unfreeze_epoch=1),
                dict(type='FasterTrainingHook', bfloat16=False),
            ]
        path = tmp_path / 'tiny.py'
        path.write_text(''.join(f'{k} = {v!r}\n' for k, v in settings.items()))
        return path

    return write


@pytest.mark.parametrize('library', CONFIGS)
@pytest.mark.parametrize(
    'options',
    [[], ['--amp'], ['--launcher', 'pytorch', '--gpus', '1']],
    ids=['plain', 'amp', 'NCCL'],
)
def test_mim_trains_resumes_and_tests(library, options, config, run_mim, tmp_path):
    def mim(*args):
        done = run_mim(
            *args, env=dict(CUDA_VISIBLE_DEVICES=os.environ['TEST_GPU']), fresh=True
        )
        return done.stdout

    out = tmp_path / 'out'
    train = ('train', library, config(library), '--work-dir', out, *options)
    printed = mim(*train)
    # mmengine prints the memory of a GPU, and only of a GPU.
    assert 'memory: ' in printed
    assert ('AmpOptimWrapper' in printed) == ('--amp' in options)
    if library == 'mmdet':
        assert 'FasterTrainingHook: channels_last on' in printed
    counted = 'iters' if library == 'mmsegmentation' else 'epochs'
    printed = mim(*train, '--resume', '--cfg-options', f'train_cfg.max_{counted}=4')
    assert 'resumed epoch: ' in printed
    (checkpoint,) = out.glob('*_4.pth')
    state = read_checkpoint(checkpoint)['state_dict']
    assert all(value.isfinite().all() for value in state.values())
    # mim's test takes the launcher too, and has no --amp.
    launcher = [] if '--amp' in options else options
    test = ('test', library, config(library), '--work-dir', out, *launcher)
    assert '(test)' in mim(*test, '--checkpoint', checkpoint)
