"""Each example of a help text, run as it is printed, in a folder that has its files.

The folder holds this repository's ``configs`` and what ``SCENES`` puts there.
"""

import re
import shlex

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from click.testing import CliRunner
from PIL import Image

from plugin.cli import COMMANDS, main
from plugin.doctor import probes

pytestmark = pytest.mark.slow

CLASSIFIER = """
default_scope = 'mmpretrain'
custom_imports = dict(imports=['plugin.cls'], allow_failed_imports=False)
model = dict(type='ImageClassifier', backbone={backbone})
data_preprocessor = dict(mean=[127.5] * 3, std=[127.5] * 3, to_rgb=True)
test_dataloader = dict(
    dataset=dict(
        type='ImageNet',
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(
                type='ResizeEdge',
                scale=248,
                edge='short',
                backend='pillow',
                interpolation='bicubic',
            ),
            dict(type='CenterCrop', crop_size=224),
            dict(type='PackInputs'),
        ],
    )
)
"""


def state_of(name, **kwargs):
    torch.manual_seed(0)
    return timm.create_model(name, **kwargs).state_dict()


def align_resnet(folder, hub):
    backbone = "dict(type='mmpretrain.ResNet', depth=50)"
    (folder / 'my.py').write_text(CLASSIFIER.format(backbone=backbone))
    torch.save(state_of('resnet50', zero_init_last=False), folder / 'a.pth')


def align_vit(folder, hub):
    name = 'vit_tiny_patch16_224'
    backbone = (
        "dict(type='mmpretrain.VisionTransformer', arch='deit-tiny', "
        "norm_cfg=dict(type='LN', eps=1e-6))"
    )
    (folder / 'my.py').write_text(CLASSIFIER.format(backbone=backbone))
    state = state_of(name)
    hub(
        f'timm/{name}.augreg_in21k_ft_in1k',
        {'model.safetensors': safetensors.torch.save(state)},
    )
    torch.save(state, folder / 'converted.pth')
    (folder / 'photos').mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((400, 300), 3).save(folder / 'photos/a.png')


def convert_convnext(folder, hub):
    contents = safetensors.torch.save(state_of('convnext_atto'))
    hub('timm/convnext_atto.d2_in1k', {'model.safetensors': contents})


def convert_swin(folder, hub):
    (folder / 'my_config.py').write_text(
        "model = dict(backbone=dict(type='mmdet.SwinTransformer'))"
    )
    torch.save(state_of('swin_tiny_patch4_window7_224'), folder / 'swin.pth')


def keys_of_a_file(folder, hub):
    torch.save(state_of('convnext_atto'), folder / 'convnext-tiny.pth')


def keys_of_timm(folder, hub):
    contents = safetensors.torch.save(state_of('resnet18'))
    hub('timm/resnet18.a1_in1k', {'model.safetensors': contents})


def a_detector(folder, hub):
    """``my.py``: our demo's RetinaNet, which reads ``data/shapes``; two checkpoints."""
    from mmengine.config import Config
    from mmengine.registry import MODELS, init_default_scope

    base = 'configs/det/retinanet_timm-resnet10t_fpn_1xb8-14e_shapes.py'
    (folder / 'my.py').write_text(f'_base_ = {base!r}\n')
    CliRunner().invoke(main, ['shapes', 'data/shapes', '--train', '4', '--val', '4'])
    init_default_scope('mmdet')
    model = MODELS.build(Config.fromfile(str(folder / 'my.py')).model)
    (folder / 'work_dirs/run').mkdir(parents=True)
    for name in ('best.pth', 'work_dirs/run/epoch_12.pth'):
        torch.save({'state_dict': model.state_dict()}, folder / name)


# What a command's examples need, in their order; one for both if they need the same.
SCENES = {
    'align': (align_resnet, align_vit),
    'convert': (convert_convnext, convert_swin),
    'keys': (keys_of_a_file, keys_of_timm),
    'sheet': (a_detector,),
}


def examples():
    """(command, which of its examples, arguments)"""
    lines_seen = set()
    for command in (None, *COMMANDS):
        result = CliRunner().invoke(main, [*filter(None, [command]), '--help'])
        text = result.stdout.partition('Examples:')[2].replace('\\\n', ' ')
        lines = re.findall(r'^ *python -m plugin (.*)$', text, re.M)
        assert len(lines) == 2, command
        for i, line in enumerate(map(str.strip, lines)):
            if line in lines_seen:
                continue  # The first help text shows an example of `shapes` too.
            lines_seen.add(line)
            yield pytest.param(command, i, shlex.split(line), id=line)


@pytest.fixture(scope='module', autouse=True)
def imports_tried_once():
    """Both examples of `doctor` import the same in an interpreter of its own."""
    found = {}

    def once(modules, timeout):
        key = (*modules, timeout)
        if key not in found:
            found[key] = run(modules, timeout)
        return found[key]

    run = probes._run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probes, '_run', once)
        yield


@pytest.mark.parametrize(('command', 'which', 'args'), list(examples()))
def test_an_example_runs_as_it_is_printed(
    command, which, args, tmp_path, monkeypatch, hub, repo_root
):
    folder = tmp_path / 'folder'
    folder.mkdir()
    (folder / 'configs').symlink_to(repo_root / 'configs')
    monkeypatch.chdir(folder)
    scenes = SCENES.get(command)
    if scenes:
        scenes[min(which, len(scenes) - 1)](folder, hub)
    result = CliRunner().invoke(main, args)
    assert result.exit_code == 0, result.output
    assert result.stdout
