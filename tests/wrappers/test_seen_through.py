"""probe, groups, check and the freezing hooks on backbones inside of wrappers."""

import json

import mmdet.models  # noqa: F401
import pytest
import torch
from click.testing import CliRunner
from toy_training import bare, build_runner, toy_config, train

from plugin.check import check
from plugin.cli import main
from plugin.registry import MODELS
from plugin.weights.audit.report import PretrainedError
from plugin.weights.files.safe_loading import allow_mmengine_checkpoints

pytest.importorskip('peft', reason='peft, an extra, is not installed')

VIT = dict(
    type='plugin.TIMMBackbone',
    model_name='test_vit',
    out_indices=(-1,),
    img_size=64,
)
ADAPTED = dict(
    type='plugin.PEFTBackbone',
    backbone=VIT,
    peft_config=dict(peft_type='LORA', r=2, target_modules=['qkv']),
)
LORA_MODEL = dict(
    type='mmpretrain.LoRAModel',
    rank=2,
    targets=[dict(type='qkv')],
    module=dict(
        type='mmpretrain.VisionTransformer',
        arch='deit-tiny',
        img_size=64,
        out_type='featmap',
    ),
)


def pyramid(backbone):
    return dict(
        type='plugin.PyramidBackbone',
        backbone=backbone,
        out_channels=[8, 16, 32],
        scales=(2, 1, 0.5),
    )


def detector(folder, backbone, **neck):
    """A config of RetinaNet with this backbone; the neck's channels are 8, 16, 32."""
    neck = neck or dict(in_channels=[8, 16, 32], start_level=0)
    path = folder / 'detector.py'
    path.write_text(
        "_base_ = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'\n"
        "custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)\n"
        f'model = dict(backbone=dict(_delete_=True, **{backbone!r}), '
        f'neck=dict(**{neck!r}))\n'
    )
    return str(path)


def run(*args):
    result = CliRunner().invoke(main, [*args, '--json'])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


WRAPPED = {'pyramid': pyramid(VIT), 'adapters in a pyramid': pyramid(ADAPTED)}


@pytest.mark.parametrize('backbone', WRAPPED.values(), ids=WRAPPED)
def test_probe_measures_the_pyramid_and_counts_the_blocks_below(backbone, tmp_path):
    found = run('probe', detector(tmp_path, backbone), '--input', '64')
    assert found['channels'] == [8, 16, 32]
    assert found['strides'] == [8, 16, 32]
    # As of the ViT itself.
    assert found['num_layers'] == run('probe', 'timm:test_vit')['num_layers']


@pytest.mark.parametrize('backbone', WRAPPED.values(), ids=WRAPPED)
def test_check_finds_nothing_and_then_the_wrong_channels(backbone, tmp_path):
    config = detector(tmp_path, backbone)
    assert [p for p in check(config) if p.severity == 'error'] == []
    config = detector(tmp_path, backbone, in_channels=[8, 16, 64], start_level=0)
    (problem,) = [p for p in check(config) if p.severity == 'error']
    assert problem.key == 'model.neck.in_channels'
    assert problem.expected == [8, 16, 32]


def test_check_compares_weights_with_the_backbone_without_its_adapters(tmp_path):
    torch.save(MODELS.build(VIT).state_dict(), tmp_path / 'vit.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'vit.pth'))
    cfg = dict(ADAPTED, backbone=dict(VIT, init_cfg=init_cfg))
    config = detector(tmp_path, pyramid(cfg))
    assert [p for p in check(config) if p.severity == 'error'] == []
    init_cfg['prefix'] = 'backbone.'
    (problem,) = check(detector(tmp_path, pyramid(cfg)))
    assert (problem.kind, problem.severity) == ('pretrained', 'error')


def test_groups_shows_what_trains_and_what_is_frozen(tmp_path):
    found = run('groups', detector(tmp_path, pyramid(ADAPTED)))
    of_backbone = {
        name: group['frozen']
        for group in found
        for name in group['names']
        if name.startswith('backbone.')
    }
    assert any('.lora_A' in name for name in of_backbone)
    assert any(name.startswith('backbone.pyramid.') for name in of_backbone)
    for name, frozen in of_backbone.items():
        own = '.lora_' not in name and not name.startswith('backbone.pyramid.')
        assert frozen == own, name


@pytest.mark.parametrize(
    ('backbone', 'first'),
    [
        (pyramid(dict(VIT, frozen_stages=6)), {'pyramid'}),
        (pyramid(ADAPTED), {'pyramid', 'lora'}),
    ],
    ids=WRAPPED,
)
def test_a_hook_unfreezes_what_is_inside(backbone, first, tmp_path):
    hook = dict(type='plugin.UnfreezeBackboneEpochBasedHook', unfreeze_epoch=1)
    cfg = toy_config(backbone, 'mmdet', tmp_path, [hook], epochs=2, size=64)
    _, recorder = train(cfg)

    def kinds(names):
        return {
            'lora' if '.lora_' in n else n.split('.')[1]
            for n in names
            if n.startswith('backbone.')
        }

    assert kinds(recorder.moved(0, 1)) == first
    assert kinds(recorder.moved(1, 2)) == first | {'backbone'}


def test_layer_decay_by_stages_goes_through_both_wrappers():
    from plugin.decay.layer_depth import layer_depths

    plain = layer_depths(MODELS.build(VIT), 'stage_wise')
    found = layer_depths(MODELS.build(pyramid(ADAPTED)), 'stage_wise')
    assert found.head == plain.head
    own = {n: d for n, d in found.depths.items() if 'patch_embed' in n}
    assert own and set(own.values()) == {0}
    assert {d for n, d in found.depths.items() if n.startswith('pyramid.')} == {
        plain.head
    }


@pytest.fixture
def mmpretrain():
    return pytest.importorskip('mmpretrain.models', reason='mmpretrain is missing')


SFP = dict(
    _delete_=True,
    type='plugin.SimpleFeaturePyramid',
    in_channels=[192],
    out_channels=256,
    scales=(2, 1, 0.5),
    extra_maps=2,
)


def test_check_and_groups_know_the_lora_of_mmpretrain(mmpretrain, tmp_path):
    config = detector(tmp_path, LORA_MODEL, **SFP)
    assert [p for p in check(config) if p.severity == 'error'] == []
    wrong = detector(tmp_path, LORA_MODEL, **dict(SFP, in_channels=[384]))
    (problem,) = [p for p in check(wrong) if p.severity == 'error']
    assert problem.key == 'model.neck.in_channels'
    found = run('groups', detector(tmp_path, LORA_MODEL, **SFP))
    trained = {
        name
        for group in found
        if not group['frozen']
        for name in group['names']
        if name.startswith('backbone.')
    }
    assert trained and all('.lora_' in name for name in trained)


def test_the_lora_of_mmpretrain_resumes_bit_for_bit(mmpretrain, tmp_path):
    allow_mmengine_checkpoints()
    cfg = toy_config(LORA_MODEL, 'mmdet', tmp_path, [], epochs=2, size=64)
    straight, recorder = train(cfg)
    assert recorder.moved(0, 1) and all('.lora_' in n for n in recorder.moved(0, 1))
    cfg.update(
        load_from=str(tmp_path / 'epoch_1.pth'),
        resume=True,
        work_dir=str(tmp_path / 'resumed'),
    )
    again = build_runner(cfg)
    again.train()
    params = dict(bare(again).named_parameters())
    for name, param in bare(straight).named_parameters():
        assert torch.equal(param, params[name]), name


def test_the_audit_sees_what_the_lora_of_mmpretrain_loads(mmpretrain, tmp_path):
    torch.manual_seed(1)
    vit = MODELS.build(LORA_MODEL['module']).state_dict()
    good, bad = tmp_path / 'good.pth', tmp_path / 'bad.pth'
    torch.save(vit, good)
    torch.save({f'other.{name}': tensor for name, tensor in vit.items()}, bad)

    def build(path):
        init_cfg = dict(type='Pretrained', checkpoint=str(path))
        module = dict(LORA_MODEL['module'], init_cfg=init_cfg)
        return MODELS.build(dict(LORA_MODEL, module=module))

    loaded = build(good)
    for name, param in loaded.module.named_parameters():
        if '.lora_' not in name:
            assert torch.equal(param, vit[name.replace('.original_layer', '')]), name
    with pytest.raises(PretrainedError, match="prefix='other.'"):
        build(bad)
