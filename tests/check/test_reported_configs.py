"""Configs after public bug reports, each with the answer that a training gives it.

Files are made by code. Each of them stands for a kind of mistake.
"""

import sys
from pathlib import Path

import pytest
import torch

from plugin.check import check, examine
from plugin.config.problem import ERROR, WARNING

pytestmark = pytest.mark.slow

FASTER_RCNN = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'
SWIN = (
    "_delete_=True, type='SwinTransformer', embed_dims=96, depths=[2, 2, 6, 2], "
    'num_heads=[3, 6, 12, 24], window_size=7'
)


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    def config(base: str, text: str, name: str = 'config.py') -> str:
        (tmp_path / name).write_text(f'_base_ = {base!r}\n{text}\n')
        return name

    yield config
    for module in ('nets', 'old_net'):
        sys.modules.pop(module, None)


def the_only(problems):
    (problem,) = problems
    return problem


def test_the_box_head_of_a_narrower_pyramid_was_forgotten(write):
    path = write(
        FASTER_RCNN,
        "model = dict(backbone=dict(_delete_=True, type='MobileNetV2', "
        "out_indices=(1, 2, 4, 7), init_cfg=dict(type='Pretrained', "
        "checkpoint='open-mmlab://mmdet/mobilenet_v2')), "
        'neck=dict(in_channels=[24, 32, 96, 1280], out_channels=128), '
        'rpn_head=dict(in_channels=128), '
        'roi_head=dict(bbox_roi_extractor=dict(out_channels=128)))',
    )
    problem = the_only(check(path))
    assert problem.key == 'model.roi_head.bbox_head.in_channels'
    assert (problem.severity, problem.kind) == (ERROR, 'channels')
    assert problem.in_short == f'{problem.key}=128'


def test_the_semantic_head_of_a_narrower_pyramid_was_forgotten(write):
    narrow = 'bbox_head=dict(in_channels=128), mask_head=dict(in_channels=128)'
    path = write(
        'mmdet::panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py',
        'model = dict(neck=dict(out_channels=128), rpn_head=dict(in_channels=128), '
        'roi_head=dict(bbox_roi_extractor=dict(out_channels=128), '
        f'mask_roi_extractor=dict(out_channels=128), {narrow}))',
    )
    problem = the_only(check(path))
    assert problem.key == 'model.semantic_head.in_channels'
    assert problem.in_short == f'{problem.key}=128'


def test_one_more_level_for_a_transformer(write):
    path = write(
        'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py',
        f'model = dict(backbone=dict({SWIN}, out_indices=(0, 1, 2, 3)), '
        'neck=dict(in_channels=[96, 192, 384, 768], num_outs=5))',
    )
    problem = the_only(check(path))
    assert (problem.key, problem.kind) == ('model.num_feature_levels', 'levels')
    assert problem.in_short == (
        'model.num_feature_levels=5; '
        'model.encoder.layer_cfg.self_attn_cfg.num_levels=5; '
        'model.decoder.layer_cfg.cross_attn_cfg.num_levels=5'
    )


def test_a_first_convolution_for_other_images(write):
    path = write(
        'mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py',
        'model = dict(backbone=dict(in_channels=4))',
    )
    problem = the_only(check(path))
    assert problem.key == 'model.backbone.in_channels'
    assert problem.in_short == f'{problem.key}=3'


def test_a_backbone_that_asks_for_values_is_run_for_real(write, tmp_path):
    (tmp_path / 'nets.py').write_text(
        'import torch\n'
        'from torch import nn\n'
        'from plugin.registry import MODELS\n'
        '@MODELS.register_module(force=True)\n'
        'class NetItem(nn.Module):\n'
        '    def __init__(self):\n'
        '        super().__init__()\n'
        '        widths = [(3, 24, 4), (24, 48, 2), (48, 96, 2), (96, 192, 2)]\n'
        '        self.stages = nn.ModuleList(\n'
        '            nn.Conv2d(a, b, 3, s, 1) for a, b, s in widths\n'
        '        )\n'
        '    def forward(self, x):\n'
        '        outs = []\n'
        '        for stage in self.stages:\n'
        '            if not torch.isfinite(x).all():\n'
        "                raise FloatingPointError('bad activations')\n"
        '            x = stage(x)\n'
        '            outs.append(x)\n'
        '        return tuple(outs)\n'
    )
    path = write(
        FASTER_RCNN,
        "custom_imports = dict(imports=['nets'], allow_failed_imports=False)\n"
        "model = dict(backbone=dict(_delete_=True, type='plugin.NetItem'))",
    )
    problem = the_only(check(path))
    assert problem.key == 'model.neck.in_channels'
    assert problem.in_short == f'{problem.key}=[24, 48, 96, 192]'


def test_norms_of_a_resnet_left_over_in_a_transformer(write):
    path = write(
        'mmseg::upernet/upernet_r50_4xb4-80k_ade20k-512x512.py',
        f'model = dict(pretrained=None, backbone=dict({SWIN}, '
        "norm_cfg=dict(type='SyncBN', requires_grad=True)), "
        'decode_head=dict(in_channels=[96, 192, 384, 768]), '
        'auxiliary_head=dict(in_channels=384))',
    )
    problem = the_only(check(path))
    assert (problem.key, problem.kind) == ('model.backbone.norm_cfg', 'forward')
    assert 'running_mean should contain' in problem.found
    assert problem.in_short == 'del model.backbone.norm_cfg'


def test_three_places_change_together_and_stay_tuples(write):
    path = write(
        'mmdet::ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py',
        'model = dict(backbone=dict(_delete_=True, '
        "type='mmpretrain.MobileNetV3', arch='large', out_indices=(12, 16)))",
    )
    assert the_only(check(path)).in_short == (
        'model.neck.in_channels=(112, 960); '
        'model.neck.out_channels=(112, 960, 512, 256, 256, 128); '
        'model.bbox_head.in_channels=(112, 960, 512, 256, 256, 128)'
    )


def test_behind_an_import_that_fails_no_type_is_guessed(write, tmp_path):
    (tmp_path / 'old_net.py').write_text(
        'from mmdet.models.builder import BACKBONES\n'
        '@BACKBONES.register_module()\n'
        'class OldNet:\n'
        '    pass\n'
    )
    path = write(
        FASTER_RCNN,
        "custom_imports = dict(imports=['old_net'], allow_failed_imports=False)\n"
        "model = dict(backbone=dict(_delete_=True, type='OldNet'), "
        'neck=dict(in_channels=[64], num_outs=5))',
    )
    report = examine(path)
    assert [p.key for p in report.problems] == ['custom_imports.imports']
    assert any('OldNet may be of old_net' in line for line in report.not_judged)


def moco(folder: Path) -> None:
    """Write a file of MoCo's, whose weights are under ``module.encoder_q.``"""
    from mmdet.models import ResNet

    weights = ResNet(depth=18).state_dict()
    state = {f'module.encoder_q.{name}': value for name, value in weights.items()}
    state['module.queue'] = torch.zeros(4, 4)
    torch.save(dict(epoch=200, state_dict=state), folder / 'moco.pth.tar')


MOCO = (
    'model = dict(backbone=dict(depth=18, init_cfg=dict('
    "type='Pretrained', checkpoint='./moco.pth.tar'{})), "
    'neck=dict(in_channels=[64, 128, 256, 512]))'
)
OURS = "custom_imports = dict(imports=['plugin.det'], allow_failed_imports=False)\n"


@pytest.mark.parametrize('imports', [OURS, ''], ids=['with the plugin', 'without'])
def test_a_prefix_that_names_the_wrapper_is_right(write, tmp_path, imports):
    moco(tmp_path)
    text = MOCO.format(", prefix='module.encoder_q.'")
    assert check(write(FASTER_RCNN, imports + text)) == []


def test_mmengine_takes_a_prefix_at_its_word(write, tmp_path):
    """Without the plugin nothing strips ``module.`` where a prefix is given."""
    moco(tmp_path)
    path = write(FASTER_RCNN, MOCO.format(", prefix='encoder_q.'"))
    problem = the_only(check(path))
    assert problem.kind == 'pretrained'
    assert problem.in_short == "model.backbone.init_cfg.prefix='module.encoder_q.'"


def official_swin(folder: Path) -> None:
    """Write a file with the names of Swin's repository, which mmdet converts."""
    import timm

    model = timm.create_model('swin_tiny_patch4_window7_224', pretrained=False)
    state = {}
    for name, value in model.state_dict().items():
        parts = name.split('.')
        if parts[0] == 'layers' and parts[2] == 'downsample':
            parts[1] = str(int(parts[1]) - 1)
        if name.startswith('head.fc.'):
            parts = ['head', parts[-1]]
        state['.'.join(parts)] = value
    torch.save(dict(model=state), folder / 'swin.pth')


def test_a_backbone_that_would_convert_the_weights_is_asked_to(write, tmp_path):
    official_swin(tmp_path)
    path = write(
        FASTER_RCNN,
        f'model = dict(backbone=dict({SWIN}, '
        "init_cfg=dict(type='Pretrained', checkpoint='./swin.pth')), "
        'neck=dict(in_channels=[96, 192, 384, 768]))',
    )
    problem = the_only(check(path))
    assert problem.key == 'model.backbone.convert_weights'
    assert 'IndexError' in problem.found
    assert problem.in_short == f'{problem.key}=True'


def test_layers_behind_the_last_map_stop_training_on_several_gpus(write):
    path = write(
        'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
        "custom_imports = dict(imports=['mmpretrain.models'], "
        'allow_failed_imports=False)\n'
        "model = dict(backbone=dict(_delete_=True, type='mmpretrain.MobileNetV3', "
        "arch='small', out_indices=(3, 8, 11)), "
        'neck=dict(in_channels=[24, 48, 96], start_level=0))',
    )
    problem = the_only(examine(path, step=True).problems)
    assert (problem.severity, problem.kind) == (WARNING, 'training')
    assert problem.in_short == 'find_unused_parameters=True'


def test_the_lraspp_that_fits_a_resnet_of_timm_is_clean(write):
    path = write(
        'mmseg::mobilenet_v3/mobilenet-v3-d8_lraspp_4xb4-320k_cityscapes-512x1024.py',
        "custom_imports = dict(imports=['plugin.seg'], allow_failed_imports=False)\n"
        'model = dict(pretrained=None, backbone=dict(_delete_=True, '
        "type='plugin.TIMMBackbone', model_name='resnet18.a1_in1k', "
        'pretrained=False, out_indices=(0, 1, 4), '
        'timm_kwargs=dict(output_stride=8)), '
        'decode_head=dict(in_channels=(64, 64, 512), in_index=(0, 1, 2)))',
    )
    assert check(path) == []


@pytest.mark.parametrize(
    'name',
    [
        'flamingo/flamingo_fewshot_caption.py',
        'llava/llava-7b-v1_caption.py',
        'minigpt4/minigpt-4_vicuna-7b_caption.py',
        'otter/otter-9b_caption.py',
    ],
)
def test_what_a_model_takes_out_of_its_encoder_is_no_unknown_argument(name):
    assert 'argument' not in [p.kind for p in check(f'mmpretrain::{name}')]
